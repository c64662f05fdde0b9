"""All pairs of nodes, some rows at a time, and the largest values of each row."""

import math
from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mapsr import budgets


def symmetric_rows(
    compare: Callable[[slice, slice], Tensor], count: int, like: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Yield a symmetric matrix by blocks of rows, computing most pairs once.

    A block is compared with the nodes from itself on; the result, transposed, serves the rows of
    those nodes too. Memory: one block of rows, and results kept for later, 64 MiB at most; pairs
    too far apart for that are compared twice.

    Args:
        compare: (n, m) values of n rows and m columns, equal to those of m rows and n columns
            transposed.
        count: N, the size of the matrix.
        like: has the dtype and the device of the values.

    Yields:
        Which rows; the rows, (n, N). The next step overwrites them.
    """
    step, most = budgets.PAIR_ROWS.on(like), budgets.PAIRS_KEPT.on(like)
    reach = max(1, math.isqrt(most) // step) * step
    if count**2 <= 2 * most:  # half of it is kept
        reach = count
    buffer = like.new_empty(min(step, count), count)
    kept: deque[tuple[slice, Tensor]] = deque()
    for start in range(0, count, step):
        block = slice(start, min(start + step, count))
        end = min(start + reach, count)
        while kept and kept[0][0].start + reach < block.stop:
            kept.popleft()
        rows = buffer[: block.stop - start]
        here = compare(slice(start, end), block)  # tall products are faster than wide ones
        rows[:, start:end] = here.T
        for before, values in kept:
            rows[:, before] = values[start - before.start : block.stop - before.start]
        first = kept[0][0].start if kept else start
        if first:
            rows[:, :first] = compare(block, slice(0, first))
        if end < count:
            rows[:, end:] = compare(block, slice(end, count))
        kept.append((block, here))
        yield block, rows


def largest(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k largest values of each row, in no order.

    The columns are dealt into groups. The k largest values lie in the k groups with the largest
    maxima, so both selections are among far fewer than N.

    Args:
        rows: (n, N).
        k: 1 .. N.

    Returns:
        Values (n, k) and their columns (n, k) int64.
    """
    height, count = rows.shape
    each = math.isqrt(count // k)  # as many groups as values in k groups, about
    if each < 2:
        return rows.topk(k, dim=1, sorted=False)
    groups = count // each
    dealt = rows[:, : groups * each].unflatten(1, (each, groups))
    best = dealt.amax(1).topk(k, dim=1, sorted=False)[1]  # (n, k)
    among = dealt.gather(2, best[:, None].expand(-1, each, -1)).flatten(1)  # (n, each k)
    steps = torch.arange(each, device=rows.device)[:, None] * groups
    columns = (best[:, None] + steps).flatten(1)
    if groups * each < count:  # those that were not dealt
        rest = torch.arange(groups * each, count, device=rows.device).expand(height, -1)
        among = torch.cat([among, rows[:, groups * each :]], dim=1)
        columns = torch.cat([columns, rest], dim=1)
    values, place = among.topk(k, dim=1, sorted=False)
    return values, columns.gather(1, place)
