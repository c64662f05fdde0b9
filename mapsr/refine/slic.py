"""Superpixels by SLIC for a batch of images, on any device.

A centre never wanders far from its cell of the starting grid, so a pixel only has to look at the
centres of the cells around its own: the batch is moved past 25 shifted copies of the centres, and
no pixel has a loop of its own. Nothing is asked of the device: the host does not wait.

Source: Achanta et al., SLIC superpixels, TPAMI 2012, doi:10.1109/TPAMI.2012.120, algorithm 1 and
equation (3). Where colours are alike, the number of steps and the window are those of
scikit-image's SLIC, which the CPU's default path uses.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr.refine.colours import lab_of
from mapsr.refine.regions import joined_regions
from mapsr.refine.superpixels import ROUNDS, wanted_segments
from mapsr.sums import whole_sums

# Cells to each side whose centres a pixel looks at.
_REACH = 2
# Colours are rounded to 2^-20 of a unit for their means, so that the order of a sum can't matter.
_FINE = 1 << 20
# Least size of a superpixel, as a part of the usual one.
_LEAST = 0.5


@dataclass(frozen=True)
class _Lattice:
    """Where centres begin: ``start`` + i ``step`` along either axis.

    Attributes:
        size: (H, W) of the image.
        start: of rows and of columns.
        step: of rows and of columns.
    """

    size: tuple[int, int]
    start: tuple[int, int]
    step: tuple[int, int]

    @staticmethod
    def of(size: tuple[int, int], wanted: int) -> "_Lattice":
        """About so many centres, as square apart as whole pixels allow."""
        height, width = size
        if height * width <= wanted:
            return _Lattice(size, (0, 0), (1, 1))
        apart = math.sqrt(height * width / wanted)
        short, long = min(size), max(size)
        if short >= apart:
            steps = (apart, apart)
        else:  # one row of centres
            steps = (short, long / wanted) if height <= width else (long / wanted, short)
        down, across = (max(1, round(step)) for step in steps)
        return _Lattice(size, (int(steps[0] // 2), int(steps[1] // 2)), (down, across))

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of cells, of one step each, that cover the image."""
        return -(-self.size[0] // self.step[0]), -(-self.size[1] // self.step[1])

    def centres(self, planes: Tensor) -> Tensor:
        """Row, column and three colours of each centre at the beginning, (B, 5, cells).

        The first round looks at distance alone, so colours begin at zero. A cell at the far edge
        that is too narrow for a centre has one infinitely far away.
        """
        found = planes.new_zeros(len(planes), 5, *self.cells)
        for axis in (0, 1):
            place = self.start[axis] + self.step[axis] * torch.arange(self.cells[axis])
            far = torch.where(place < self.size[axis], place.to(planes.dtype), torch.inf)
            found[:, axis] += far.to(planes.device).reshape((-1, 1) if axis == 0 else (1, -1))
        return found


@torch.no_grad()
def batched_superpixels(
    image: Tensor,
    valid: Tensor,
    segments: int,
    compactness: float,
    *,
    stretched: bool = False,
    rounds: int = ROUNDS,
) -> tuple[Tensor, Tensor]:
    """Cut a batch of images into superpixels, each connected; see ``superpixels``.

    Args:
        image: (B, 3 or more, H, W) float32 in [0, 1]; red, green and blue come first.
        valid: (B, H, W) bool.
        segments: how many superpixels an image of 448 x 448 px gets; other sizes in proportion.
        compactness: weight of distance against colour (in CIELAB units).
        stretched: stretch each image's values to [0, 1] first.
        rounds: of assignment and update.

    Returns:
        labels (B, H, W) int64, 0 .. count - 1, -1 outside the valid area; counts (B,) int64. Both
        stay on the device. Memory: about ten floats a pixel. A superpixel that is connected in the
        image may be cut by nodata.
    """
    height, width = valid.shape[1:]
    valid = valid.to(image.device)
    planes = _colours(image[:, :3].float(), valid, stretched=stretched) / compactness
    wanted = wanted_segments(height, width, segments)
    lattice = _Lattice.of((height, width), wanted)
    nearest = _clustered(planes, lattice, rounds)
    whole = (planes * _FINE).round().long()
    least = int(_LEAST * height * width / wanted)
    regions = joined_regions(nearest, whole, least)
    return _numbered(regions, valid)


def _colours(rgb: Tensor, valid: Tensor, *, stretched: bool) -> Tensor:
    """CIELAB (B, 3, H, W); nodata has the mean colour of the rest, so that it is not an edge."""
    inside = valid[:, None]
    if stretched:
        low = torch.where(inside, rgb, torch.inf).amin((1, 2, 3), keepdim=True)
        high = torch.where(inside, rgb, -torch.inf).amax((1, 2, 3), keepdim=True)
        span = torch.where(high > low, high - low, 1.0)
        rgb = ((rgb - low) / span).clamp(0, 1)
    lab = torch.where(inside, lab_of(rgb), 0.0)
    steps = (lab.double() * _FINE).round().long().sum((2, 3), keepdim=True)
    mean = steps / (_FINE * inside.sum((2, 3), keepdim=True).clamp_min(1)).double()
    return torch.where(inside, lab, mean.to(lab.dtype))


def _clustered(planes: Tensor, lattice: _Lattice, rounds: int) -> Tensor:
    """The number of the nearest centre of each pixel, (B, H, W) int64."""
    height, width = lattice.size
    rows, columns = lattice.cells
    bottom, right = rows * lattice.step[0] - height, columns * lattice.step[1] - width
    shape = (len(planes), 3, rows, lattice.step[0], columns * lattice.step[1])
    padded = F.pad(planes, (0, right, 0, bottom)).reshape(shape)
    centres = lattice.centres(planes)
    whole = _whole_values(planes)
    nearest = _assigned(padded, centres, lattice)
    for _ in range(rounds - 1):
        centres = _means(whole, nearest, centres)
        nearest = _assigned(padded, centres, lattice)
    return nearest


def _assigned(padded: Tensor, centres: Tensor, lattice: _Lattice) -> Tensor:
    """Let each pixel choose its nearest centre: (B, H, W) int64.

    Args:
        padded: (B, 3, rows of cells, step, columns of cells x step) colours.
        centres: (B, 5, rows, columns).
        lattice: where centres began.
    """
    rows, columns = lattice.cells
    (down, across), width = lattice.step, padded.shape[4]
    edge = (_REACH,) * 4
    table = F.pad(centres, edge, value=math.inf).repeat_interleave(across, 3)
    number = torch.arange(rows * columns, device=padded.device).view(rows, columns)
    numbers = F.pad(number, edge, value=-1).repeat_interleave(across, 1)
    place = torch.arange(rows * down, device=padded.device).view(rows, down, 1)
    column = torch.arange(width, device=padded.device)
    weight = 1 / max(lattice.step) ** 2
    best = padded.new_full((len(padded), *padded.shape[2:]), math.inf)
    own = numbers[_REACH : _REACH + rows, _REACH * across : _REACH * across + width]
    chosen = own[:, None].expand_as(best).contiguous()  # where no centre is near
    apart = torch.empty_like(best)
    for row in range(2 * _REACH + 1):
        for first in range(0, (2 * _REACH + 1) * across, across):
            part = slice(row, row + rows), slice(first, first + width)
            centre = table[:, :, *part][:, :, :, None]  # (B, 5, rows, 1, width)
            along = _within(centre[:, 1] - column, across) * weight
            distance = _within(centre[:, 0] - place, down).mul_(weight).add_(along)
            for band in range(3):
                torch.sub(padded[:, band], centre[:, 2 + band], out=apart)
                distance.addcmul_(apart, apart)
            closer = distance < best  # the first of two that are as near
            best = torch.where(closer, distance, best)
            chosen = torch.where(closer, numbers[part][:, None], chosen)
    return chosen.flatten(1, 2)[:, : lattice.size[0], : lattice.size[1]]


def _within(apart: Tensor, step: int) -> Tensor:
    """Squares of distances along an axis, infinite outside of a centre's window of two steps."""
    return apart.square().masked_fill_(apart.abs() > 2 * step + 0.5, math.inf)


def _whole_values(planes: Tensor) -> Tensor:
    """One, row, column and the colours in steps of each pixel, (B, H W, 6) int64."""
    batch, _, height, width = planes.shape
    row = torch.arange(height, device=planes.device)[:, None].expand(height, width)
    column = torch.arange(width, device=planes.device).expand(height, width)
    place = torch.stack([torch.ones_like(row), row, column]).expand(batch, -1, -1, -1)
    whole = torch.cat([place, (planes * _FINE).round().long()], dim=1)
    return whole.flatten(2).transpose(1, 2).contiguous()


def _means(whole: Tensor, nearest: Tensor, centres: Tensor) -> Tensor:
    """Move each centre to the mean of its pixels, (B, 5, rows, columns)."""
    batch, _, rows, columns = centres.shape
    offset = torch.arange(batch, device=nearest.device)[:, None, None] * (rows * columns)
    index = (nearest + offset).flatten()
    sums = whole_sums(whole.flatten(0, 1), index, batch * rows * columns).double()
    # 0 / 0 is not a number, and no pixel is near it: a centre without pixels is given up
    mean = sums[:, 1:] / sums[:, :1]
    mean[:, 2:] /= _FINE
    return mean.to(centres.dtype).view(batch, rows, columns, 5).permute(0, 3, 1, 2)


def _numbered(regions: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Number the regions of each image that have a valid pixel."""
    batch, height, width = regions.shape
    flat, inside = regions.flatten(1), valid.flatten(1)
    there = torch.zeros(batch, height * width + 1, dtype=torch.int64, device=regions.device)
    there.scatter_(1, torch.where(inside, flat, height * width), 1)
    rank = there[:, :-1].cumsum(1)
    labels = torch.where(inside, rank.gather(1, flat) - 1, -1)
    return labels.view_as(regions), rank[:, -1]
