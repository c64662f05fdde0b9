import pytest
import torch
import torch.nn.functional as F
from stand_ins import normal, uniform

from mapsr.errors import ConfigError
from mapsr.networks import L2HNetSettings
from mapsr.networks.l2hnet import PreservingBlock, Reduction, StandardisedConv, Trunk


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_parts_have_the_published_counts():
    with torch.device("meta"):
        trunk, reduction = Trunk(4, 128, activated=False), Reduction(128)
    assert parameters(trunk.start) == 4_736
    assert parameters(trunk.blocks) == 1_111_200
    assert [parameters(step) for step in reduction.steps] == [3_687_680, 5_900_288, 26_216_448]


def test_a_block_is_its_branches_fused_and_added():
    block = PreservingBlock(8).eval()
    x = normal(1, 1, 8, 5, 7)
    widths = [branch[0].weight.shape[0] for branch in block.branches]
    kernels = [branch[0].kernel_size for branch in block.branches]
    assert widths == [8, 4, 2]
    assert kernels == [(1, 1), (3, 3), (5, 5)]
    scale = (1 + 1e-5) ** -0.5  # a fresh batch norm
    branches = [
        F.conv2d(x, b[0].weight, b[0].bias, padding=pad).mul(scale).relu()
        for b, pad in zip(block.branches, (0, 1, 2), strict=True)
    ]
    fuse = block.fuse[0]
    expected = x + F.conv2d(torch.cat(branches, 1), fuse.weight, fuse.bias).mul(scale).relu()
    torch.testing.assert_close(block(x), expected)


def test_filters_are_standardised_by_hand():
    conv = StandardisedConv(1, 1, (1, 2), bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([3.0, 5.0]).view(1, 1, 1, 2))
    # mean 4, variance 1: the filter is -1, 1
    out = conv(torch.tensor([10.0, 17.0]).view(1, 1, 1, 2))
    assert out.item() == pytest.approx(7, rel=1e-4)


def test_a_filters_scale_and_offset_do_not_matter():
    conv = StandardisedConv(3, 4, 3, 2, padding=1, bias=False)
    x = normal(2, 1, 3, 9, 12)
    before = conv(x)
    with torch.no_grad():
        conv.weight.mul_(30).add_(2)
    torch.testing.assert_close(conv(x), before, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("height", "width"), [(16, 48), (64, 32)])
def test_reduced_maps_have_strides_2_4_16(height, width):
    with torch.device("meta"):
        maps = Reduction(8)(torch.empty(1, 40, height, width))
    expected = [(c, height // s, width // s) for c, s in ((640, 2), (1024, 4), (1024, 16))]
    assert [tuple(x.shape[1:]) for x in maps] == expected


@pytest.mark.parametrize("variant", ["trunk", "original"])
def test_a_pixel_is_seen_eleven_pixels_away_and_no_further(variant):
    # 3 x 3, then five blocks whose widest branch is 5 x 5: 1 + 5 * 2
    network = L2HNetSettings(variant=variant, width=8).build(4, 3).eval()
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(module, name, torch.nn.Identity())  # which could hide a change
    image = uniform(3, 1, 4, 30, 37)
    changed = image.clone()
    changed[..., 14, 17] = 1 - changed[..., 14, 17]
    with torch.no_grad():
        rows, columns = (network(changed)[0] - network(image)[0]).abs().sum((0, 1)).nonzero().T
    assert (rows.min(), rows.max()) == (3, 25)
    assert (columns.min(), columns.max()) == (6, 28)


def test_only_the_original_activates_its_first_convolution():
    image = uniform(4, 1, 4, 6, 9)
    for variant in ("trunk", "original"):
        network = L2HNetSettings(variant=variant, width=8).build(4, 3).eval()
        seen = []
        network.trunk.blocks[0].register_forward_pre_hook(lambda _, x, s=seen: s.append(x[0]))
        network(image)
        assert bool(seen[0].min() < 0) == (variant == "trunk")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "v1"}, "network.variant is 'v1', expected one of original, trunk"),
        ({"width": 6}, "network.width is 6, expected a positive multiple of 4"),
        ({"width": 0}, "network.width is 0, expected a positive multiple of 4"),
    ],
)
def test_l2hnet_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError, match=message):
        L2HNetSettings(**settings)
