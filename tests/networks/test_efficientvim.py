import torch
import torch.nn.functional as F
from stand_ins import normal

from mapsr.networks import EfficientViMSettings
from mapsr.networks.efficientvim import Pyramid, PyramidHead


def test_neck_and_head_have_the_published_sizes():
    with torch.device("meta"):
        network = EfficientViMSettings(pretrained=False).build(3, 5)
    assert sum(p.numel() for p in network.pyramid.parameters()) == 2_041_344
    assert sum(p.numel() for p in network.head.parameters()) == 1_624_453


def test_coarser_levels_are_added_to_finer_ones():
    pyramid = Pyramid([2, 3, 4])
    maps = [normal(1, 1, 2, 8, 12), normal(2, 1, 3, 4, 6), normal(3, 1, 4, 2, 3)]
    with torch.no_grad():
        fine, middle, coarse = (
            lateral(x) for lateral, x in zip(pyramid.lateral, maps, strict=True)
        )
        middle = middle + F.interpolate(coarse, scale_factor=2, mode="nearest")
        fine = fine + F.interpolate(middle, scale_factor=2, mode="nearest")
        expected = [s(x) for s, x in zip(pyramid.smooth, (fine, middle, coarse), strict=True)]
        expected.append(F.max_pool2d(expected[-1], 1, stride=2))
        for ours, theirs in zip(pyramid(maps), expected, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert [tuple(x.shape[2:]) for x in expected] == [(8, 12), (4, 6), (2, 3), (1, 2)]


def test_levels_are_doubled_never_once_twice_and_three_times():
    head = PyramidHead(5).eval()
    levels = [normal(4 + n, 2, 256, 16 >> n, 24 >> n) for n in range(4)]
    with torch.no_grad():
        total = head.ascents[0].convs[0](levels[0])
        for ascent, x in zip(head.ascents[1:], levels[1:], strict=True):
            for conv in ascent.convs:
                x = F.interpolate(conv(x), scale_factor=2, mode="bilinear")
            total = total + x
        expected = head.classify(total)
        torch.testing.assert_close(head(levels), expected)
    assert expected.shape == (2, 5, 16, 24)
    assert [len(ascent.convs) for ascent in head.ascents] == [1, 1, 2, 3]


def test_doublings_that_outgrow_the_finest_level_are_resampled_once():
    # as at 448 px: a level of 7 is halved to 4, whose doublings pass 8, 16 and 32 on the way to 28
    head = PyramidHead(5).eval()
    ascent, x = head.ascents[3], normal(9, 1, 256, 4, 3)
    with torch.no_grad():
        once = ascent(x)
        assert once.shape == (1, 128, 32, 24)
        step = x
        for conv in ascent.convs:
            step = F.interpolate(conv(step), scale_factor=2, mode="bilinear")
        torch.testing.assert_close(once, step)
        levels = [torch.zeros(1, 256, 28 >> n, 20 >> n) for n in range(3)]
        nothing = sum(
            F.interpolate(one(level), size=(28, 20), mode="bilinear")
            for one, level in zip(head.ascents, levels, strict=False)
        )
        resampled = F.interpolate(step, size=(28, 20), mode="bilinear")
        torch.testing.assert_close(head([*levels, x]), head.classify(nothing + resampled))
