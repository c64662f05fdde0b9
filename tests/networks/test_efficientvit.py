import torch
import torch.nn.functional as F
from stand_ins import normal, uniform
from torch import nn

from mapsr.networks import EfficientViTSettings
from mapsr.networks.efficientvit import FusedInvertedBlock

SMALL = EfficientViTSettings(encoder="efficientvit_b0", pretrained=False)


def test_the_published_head_has_its_size():
    with torch.device("meta"):
        network = EfficientViTSettings(pretrained=False).build(3, 150)
    parts = (network.reduce, network.blocks, network.head)
    assert sum(p.numel() for part in parts for p in part.parameters()) == 2_372_246


def test_norms_are_as_sharp_as_published():
    network = SMALL.build(3, 5)
    for part in (network.reduce, network.blocks, network.head):
        norms = [m for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        assert {norm.eps for norm in norms} == {1e-7}


def test_a_fused_block_adds_to_its_input():
    block = FusedInvertedBlock().eval()
    x = normal(1, 1, 128, 3, 5)
    with torch.no_grad():
        wide = block.widen[1](F.conv2d(x, block.widen[0].weight, padding=1))
        wide = F.gelu(wide, approximate="tanh")
        assert wide.shape == (1, 512, 3, 5)
        expected = x + block.narrow[1](F.conv2d(wide, block.narrow[0].weight))
        torch.testing.assert_close(block(x), expected)


def test_maps_are_summed_at_an_eighth():
    network = SMALL.build(3, 5).eval()
    seen = []
    network.blocks.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    image = uniform(2, 1, 3, 64, 96)
    with torch.no_grad():
        network(image)
        maps = [
            r(x) for r, x in zip(network.reduce, network.encoder(_standard(image)), strict=True)
        ]
    expected = maps[0]
    for factor, x in ((2, maps[1]), (4, maps[2])):
        expected = expected + F.interpolate(x, scale_factor=factor, mode="bicubic")
    assert seen[0].shape == (1, 128, 8, 12)
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-5)


def _standard(image):
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    return (image - mean) / std
