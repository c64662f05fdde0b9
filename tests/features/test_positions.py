import pytest
import torch
from stand_ins import normal

from mapsr.features.positions import resample_positions


def cubic(distance):
    """Keys' kernel with a = -0.75."""
    x, a = distance.abs(), -0.75
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def resampling(old, new):
    """(new, old) weights of bicubic sampling at scale (new + 0.1) / old, edges repeated."""
    place = (torch.arange(new, dtype=torch.float64) + 0.5) * old / (new + 0.1) - 0.5
    weights = torch.zeros(new, old, dtype=torch.float64)
    for tap in range(-1, 3):
        source = place.floor() + tap
        column = source.clamp(0, old - 1).long()
        weights[torch.arange(new), column] += cubic(place - source)
    return weights


@pytest.mark.parametrize("new", [(32, 32), (5, 8), (45, 3), (37, 36)])
def test_positions_are_sampled_with_the_published_offset(new):
    old = (37, 37)
    positions = normal(1, 1, 37 * 37, 6)
    ours = resample_positions(positions, old, new)
    grid = positions.double().unflatten(1, old)[0]
    rows, columns = resampling(old[0], new[0]), resampling(old[1], new[1])
    expected = torch.einsum("ir,jc,rcd->ijd", rows, columns, grid).flatten(0, 1)[None]
    torch.testing.assert_close(ours.double(), expected, rtol=0, atol=1e-4)


def test_a_grid_of_another_shape_but_as_many_tokens_is_resampled():
    positions = normal(2, 1, 24, 3)
    ours = resample_positions(positions, (4, 6), (6, 4))
    assert ours.shape == positions.shape
    assert not torch.allclose(ours, positions)


def test_the_trained_grid_keeps_its_positions():
    positions = normal(3, 1, 24, 3)
    assert resample_positions(positions, (4, 6), (4, 6)) is positions
