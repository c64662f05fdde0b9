import torch
import torch.nn.functional as F
from stand_ins import normal

from mapsr.networks import EfficientViMSettings
from mapsr.networks.efficientvim import Ascent, Pyramid, PyramidHead


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


def test_levels_take_one_one_two_and_three_steps_to_the_finest():
    head = PyramidHead(5).eval()
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2)]
    levels = [normal(4 + n, 2, 256, *size) for n, size in enumerate(sizes)]
    seen = {}
    for n, ascent in enumerate(head.ascents):
        ascent.register_forward_pre_hook(lambda _, x, n=n: seen.update({n: x[1]}))
    with torch.no_grad():
        logits = head(levels)
        expected = head.classify(
            head.ascents[0](levels[0], sizes[:1])
            + head.ascents[1](levels[1], sizes[:1])
            + head.ascents[2](levels[2], [sizes[1], sizes[0]])
            + head.ascents[3](levels[3], [sizes[2], sizes[1], sizes[0]])
        )
    torch.testing.assert_close(logits, expected)
    assert logits.shape == (2, 5, 8, 12)
    assert [len(way) for _, way in sorted(seen.items())] == [1, 1, 2, 3]


def test_a_step_convolves_and_then_enlarges():
    ascent = Ascent(2).eval()
    x = normal(9, 1, 256, 2, 3)
    with torch.no_grad():
        once = F.interpolate(ascent.convs[0](x), size=(4, 6), mode="bilinear")
        twice = F.interpolate(ascent.convs[1](once), size=(7, 11), mode="bilinear")
        torch.testing.assert_close(ascent(x, [(4, 6), (7, 11)]), twice)
