"""Connected regions of a batch of label images, and small ones joined to their neighbours.

Regions are trees of pixels: each pixel points at another one of its region, the root at itself.
Trees of neighbours are hooked together, then every pixel jumps to its root; both for all pixels at
once.

Source: Shiloach and Vishkin, An O(log n) parallel connectivity algorithm, 1982,
doi:10.1016/0196-6774(82)90008-6; for the joining, Borůvka's rounds: every small region goes to its
nearest neighbour at the same time.
"""

import torch
from torch import Tensor

from mapsr.sums import whole_sums

# Rounds of hooking: regions of a superpixel's size need four or five. One that would need more
# stays in parts, each of them connected.
_HOOKS = 8
_NEVER = torch.iinfo(torch.int64).max
_PLACE = (1 << 32) - 1
_BUT_LAST, _BUT_FIRST = slice(None, -1), slice(1, None)


def connected_regions(labels: Tensor) -> Tensor:
    """Find the 4-connected regions of equal labels in each image.

    Args:
        labels: (B, H, W) int64.

    Returns:
        (B, H, W) int64: for each pixel one pixel of its region, the same for all of it, as a flat
        position in the image; regions are connected in any case.
    """
    parent = torch.arange(labels.numel(), device=labels.device)
    root = parent.clone().view_as(labels)  # what changes in place is compared with it
    alike = torch.eq(*_edges(labels))
    for _ in range(_HOOKS):
        before = root
        a, b = _edges(root)
        low, high = torch.minimum(a, b), torch.maximum(a, b)
        # a root is hooked to the least of its neighbours, or to itself where labels differ
        parent.scatter_reduce_(0, high, torch.where(alike, low, high), "amin")
        parent = _to_roots(parent)
        root = parent[root]
        if _settled(root, before):
            break
    return root - _first(labels)


def joined_regions(labels: Tensor, colours: Tensor, least: int) -> Tensor:
    """Find connected regions, and join those that are too small to their neighbour most alike.

    Args:
        labels: (B, H, W) int64.
        colours: (B, 3, H, W) int64, in steps.
        least: pixels that a region has at least, unless its image is one region.

    Returns:
        As ``connected_regions``.
    """
    root = connected_regions(labels) + _first(labels)
    values = torch.cat([torch.ones_like(colours[:, :1]), colours], dim=1)
    values = values.permute(0, 2, 3, 1).flatten(0, 2)  # (B H W, 4)
    # a region that is joined at least doubles, in regions of the beginning
    for _ in range(max(0, least - 1).bit_length()):
        before = root
        root = _joined(root, values, least)
        if _settled(root, before):
            break
    return root - _first(labels)


def _joined(root: Tensor, values: Tensor, least: int) -> Tensor:
    """One round: each small region goes to its neighbour most alike."""
    count = root.numel()
    sums = whole_sums(values, root.flatten(), count)
    size = sums[:, 0]
    mean = sums[:, 1:].double() / size.clamp_min(1)[:, None]
    a, b = _edges(root)
    if not len(a):  # images of one pixel
        return root
    best = torch.full((count,), _NEVER, device=root.device)
    key = torch.where(a == b, _NEVER, _order(mean[a] - mean[b]))
    for end in (a, b):
        small = size[end] < least
        best.scatter_reduce_(0, end, torch.where(small, key, _NEVER), "amin")
    itself = torch.arange(count, device=root.device)
    chosen = torch.where(best == _NEVER, 0, best & _PLACE)
    # the other end of the edge that a region chose
    target = torch.where(best == _NEVER, itself, a[chosen] + b[chosen] - itself)
    # two that chose each other: edges have an order, so there are no longer circles
    mutual = (target[target] == itself) & (itself < target)
    target = torch.where(mutual, itself, target)
    return _to_roots(target)[root]


def _order(apart: Tensor) -> Tensor:
    """An order of edges: by distance of colours, then by their place, which no two share."""
    square = apart.square().sum(1).float()  # not negative: its bits are in order, as it is
    place = torch.arange(len(square), device=square.device)
    return (square.view(torch.int32).long() << 32) | place


def _edges(root: Tensor) -> tuple[Tensor, Tensor]:
    """Values at both ends of all pairs of neighbours, side by side or one above the other."""
    one, other = (
        torch.cat([root[:, :, across].flatten(), root[:, down].flatten()])
        for across, down in ((_BUT_LAST, _BUT_LAST), (_BUT_FIRST, _BUT_FIRST))
    )
    return one, other


def _to_roots(parent: Tensor) -> Tensor:
    """Let each point at its root; a path halves its length with each jump."""
    for _ in range(len(parent).bit_length()):
        further = parent[parent]
        if _settled(further, parent):
            break
        parent = further
    return parent


def _settled(now: Tensor, before: Tensor) -> bool:
    """Whether further rounds change nothing; a GPU is not asked: the host would wait for it."""
    return now.device.type == "cpu" and torch.equal(now, before)


def _first(labels: Tensor) -> Tensor:
    """Number of each image's first pixel, (B, 1, 1)."""
    batch, height, width = labels.shape
    return torch.arange(batch, device=labels.device)[:, None, None] * (height * width)
