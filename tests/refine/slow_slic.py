"""SLIC and the joining of small regions, pixel by pixel: what the batched ones are held against."""

import math

ROUNDS = 10


def slow_clusters(colours, steps, starts):
    """The nearest centre of each pixel after ten rounds.

    Args:
        colours: rows of pixels of three numbers.
        steps: between centres, along rows and columns.
        starts: of the first centre.
    """
    height, width = len(colours), len(colours[0])
    centres = [
        [row, column, 0.0, 0.0, 0.0]
        for row in range(starts[0], height, steps[0])
        for column in range(starts[1], width, steps[1])
    ]
    across = len(range(starts[1], width, steps[1]))
    weight = 1 / max(steps) ** 2
    for round_ in range(ROUNDS):
        owner = {}
        for row in range(height):
            for column in range(width):
                best = math.inf
                for number, (y, x, *mean) in enumerate(centres):
                    # in its window of two steps, and of a cell at most two away
                    if abs(y - row) > 2 * steps[0] + 0.5 or abs(x - column) > 2 * steps[1] + 0.5:
                        continue
                    cell = number // across, number % across
                    if abs(row // steps[0] - cell[0]) > 2 or abs(column // steps[1] - cell[1]) > 2:
                        continue
                    apart = ((y - row) ** 2 + (x - column) ** 2) * weight
                    apart += sum(
                        (a - b) ** 2 for a, b in zip(colours[row][column], mean, strict=True)
                    )
                    if apart < best:
                        best, owner[row, column] = apart, number
        if round_ == ROUNDS - 1:
            return [[owner[row, column] for column in range(width)] for row in range(height)]
        for number in range(len(centres)):
            mine = [place for place, one in owner.items() if one == number]
            if not mine:
                centres[number] = [math.inf] * 5
                continue
            values = [(*place, *colours[place[0]][place[1]]) for place in mine]
            centres[number] = [sum(one) / len(mine) for one in zip(*values, strict=True)]
    raise AssertionError


def slow_regions(labels):
    """Connected parts of equal labels: a list of sets of places."""
    height, width = len(labels), len(labels[0])
    seen, parts = set(), []
    for start in ((row, column) for row in range(height) for column in range(width)):
        if start in seen:
            continue
        part, waiting = set(), [start]
        while waiting:
            row, column = waiting.pop()
            if (row, column) in part:
                continue
            part.add((row, column))
            for place in neighbours(row, column, height, width):
                if labels[place[0]][place[1]] == labels[row][column]:
                    waiting.append(place)
        seen |= part
        parts.append(part)
    return parts


def neighbours(row, column, height, width):
    around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [(y, x) for y, x in around if 0 <= y < height and 0 <= x < width]


def slow_joined(labels, colours, least):
    """Regions of at least so many pixels: each small one goes to its neighbour most alike."""
    height, width = len(labels), len(labels[0])
    parts = slow_regions(labels)
    while len(parts) > 1 and min(map(len, parts)) < least:
        owner = {place: number for number, part in enumerate(parts) for place in part}
        means = [
            [sum(colours[y][x][band] for y, x in part) / len(part) for band in range(3)]
            for part in parts
        ]
        joined = list(range(len(parts)))

        def top(number, joined=joined):
            return number if joined[number] == number else top(joined[number])

        for number, part in enumerate(parts):
            if len(part) >= least:
                continue
            beside = {owner[q] for p in part for q in neighbours(*p, height, width)} - {number}
            nearest = min(beside, key=lambda o: math.dist(means[number], means[o]))
            one, other = top(number), top(nearest)
            joined[max(one, other)] = min(one, other)
        merged = {}
        for number, part in enumerate(parts):
            merged.setdefault(top(number), set()).update(part)
        parts = list(merged.values())
    return parts
