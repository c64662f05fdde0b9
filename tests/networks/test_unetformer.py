import pytest
import torch
from stand_ins import normal, uniform

from mapsr.networks import UNetFormerSettings
from mapsr.networks.unetformer import (
    GlobalLocalAttention,
    GlobalLocalBlock,
    RefinementHead,
    WeightedFusion,
    mix_windows,
    window_offsets,
)


def test_parts_of_the_published_size_of_unetformer():
    with torch.device("meta"):
        network = UNetFormerSettings(pretrained=False).build(3, 5)
    assert [_count(block) for block in network.blocks] == 3 * [96_968]
    assert _count(network.auxiliary) == 37_312
    assert _count(network.encoder) == 11_176_512


def _count(module):
    return sum(p.numel() for p in module.parameters())


def test_offsets_by_hand():
    offsets = window_offsets()
    assert offsets.shape == (64, 64)
    # no offset is the middle of a table of 15 x 15; one row down is 15 on, one column right is 1 on
    assert (offsets.diagonal() == 112).all()
    assert offsets[8, 0] == 127
    assert offsets[1, 0] == 113
    assert (offsets[0, 63], offsets[63, 0]) == (0, 224)
    assert torch.equal(offsets + offsets.T, torch.full((64, 64), 224))


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (3, 11), (1, 1)], ids=str)
def test_attention_is_that_of_each_window_alone(size):
    attention = GlobalLocalAttention().eval()
    x = normal(1, 2, 64, *size)
    padded = _reflected(x)
    expected = torch.zeros_like(padded)
    for top in range(0, padded.shape[2], 8):
        for left in range(0, padded.shape[3], 8):
            part = (..., slice(top, top + 8), slice(left, left + 8))
            expected[part] = _attend_slowly(attention, padded[part])
    with torch.no_grad():
        ours = attention.attend(x)
    torch.testing.assert_close(ours, expected[..., : size[0], : size[1]], rtol=1e-4, atol=1e-5)


def _reflected(x):
    """Pad to a multiple of 8, pixel by pixel: a walk that turns back at both ends."""
    for axis in (2, 3):
        length = x.shape[axis]
        places = []
        place, step = 0, 1
        for _ in range(-(-length // 8) * 8):
            places.append(place)
            if not 0 <= place + step < length:
                step = -step
            place = place + step if length > 1 else 0
        x = x.index_select(axis, torch.tensor(places))
    return x


@torch.no_grad()
def _attend_slowly(attention, window):
    weight = attention.qkv.weight[:, :, 0, 0]
    out = torch.zeros_like(window)
    for batch, image in enumerate(window):
        query, key, value = (weight @ image.flatten(1)).split(64)  # (64, 64 places) each
        for head in range(8):
            rows = slice(8 * head, 8 * head + 8)
            logits = query[rows].T @ key[rows] / 8**0.5
            table = attention.table[:, head].view(15, 15)
            for one in range(64):
                # the offsets to all places of the window are a window of the table, backwards
                down, right = divmod(one, 8)
                bias = table[down : down + 8, right : right + 8].flip(0, 1)
                logits[one] += bias.flatten()
            mixed = value[rows] @ logits.softmax(1).T
            out[batch, rows] = mixed.view(8, 8, 8)
    return out


def test_mixing_across_windows_by_hand():
    x = torch.zeros(1, 1, 20, 23)
    x[..., 9, 10] = 8
    # a mean over 3 before and 4 after, along each axis: seen by 4 before to 3 after
    expected = torch.zeros(20, 23)
    expected[5:13, 10] += 1
    expected[9, 6:14] += 1
    torch.testing.assert_close(mix_windows(x)[0, 0], expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 2)], ids=str)
def test_a_block_takes_maps_smaller_than_a_window(size):
    out = GlobalLocalBlock()(normal(2, 2, 64, *size))
    assert out.shape == (2, 64, *size)


def test_fusion_takes_positive_shares_that_sum_to_one():
    fusion = WeightedFusion(6).eval()
    fusion.smooth = torch.nn.Identity()
    coarse, encoded = normal(3, 1, 64, 2, 3), normal(4, 1, 6, 4, 6)
    with torch.no_grad():
        skipped = fusion.skip(encoded)
        up = torch.nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear")
        torch.testing.assert_close(fusion(coarse, encoded), (skipped + up) / 2)
        fusion.shares.copy_(torch.tensor([3.0, 1.0]))
        torch.testing.assert_close(fusion(coarse, encoded), 0.75 * skipped + 0.25 * up)
        fusion.shares.copy_(torch.tensor([-5.0, 2.0]))
        torch.testing.assert_close(fusion(coarse, encoded), up)
        fusion.shares.zero_()
        assert not fusion(coarse, encoded).any()


def test_the_refinement_lies_between_zero_and_six():
    out = RefinementHead(6)(normal(5, 2, 64, 4, 5), 9 * normal(6, 2, 6, 8, 10))
    assert out.shape == (2, 64, 8, 10)
    assert out.min() == 0
    assert out.max() <= 6


def test_the_auxiliary_head_does_not_touch_the_map():
    both, one = (
        UNetFormerSettings(auxiliary=auxiliary, pretrained=False).build(3, 5).eval()
        for auxiliary in (True, False)
    )
    one.load_state_dict(
        {k: v for k, v in both.state_dict().items() if not k.startswith("auxiliary")}
    )
    image = uniform(7, 1, 3, 40, 70)
    with torch.no_grad():
        assert torch.equal(both(image)[0], one(image)[0])
    assert len(both.train()(image.repeat(2, 1, 1, 1))) == 2
    assert len(one.train()(image.repeat(2, 1, 1, 1))) == 1


def test_the_refinement_gates_by_place_and_by_channel():
    head = RefinementHead(6).eval()
    coarse, encoded = normal(8, 1, 64, 2, 3), normal(9, 1, 6, 4, 6)
    with torch.no_grad():
        x = head.fusion(coarse, encoded)
        place = torch.nn.functional.conv2d(
            x, head.place[0].weight, head.place[0].bias, padding=1, groups=64
        ).sigmoid()
        narrow, wide = (head.channel[i].weight[:, :, 0, 0] for i in (1, 3))
        channel = (wide @ (narrow @ x.mean((2, 3))[0]).clamp(0, 6)).sigmoid()
        expected = head.project((place + channel.view(1, -1, 1, 1)) * x) + head.shortcut(x)
        torch.testing.assert_close(head(coarse, encoded), expected.clamp(0, 6))


def test_the_auxiliary_head_sees_the_sum_of_all_blocks():
    network = UNetFormerSettings(pretrained=False).build(3, 5).train()
    seen, blocks = [], []
    network.auxiliary.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    for block in network.blocks:
        block.register_forward_hook(lambda *values: blocks.append(values[2]))
    with torch.no_grad():
        network(uniform(10, 2, 3, 64, 96))
    coarsest, middle, finest = blocks
    for factor, maps in ((4, coarsest), (2, middle)):
        finest = finest + torch.nn.UpsamplingBilinear2d(scale_factor=factor)(maps)
    torch.testing.assert_close(seen[0], finest)
