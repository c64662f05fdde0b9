"""What a labelling would do, said before anything is done."""

from collections.abc import Iterator

from mapsr.findings import Finding, evenly, percent, pixels
from mapsr.geo.grids import crs_name
from mapsr.geo.rasters import read_valid
from mapsr.geo.vectors import value_counts
from mapsr.labelling import OpenProduct, Statistics, count_patch, mistyped_tags, read_patch, vote
from mapsr.labelling.products import ANY
from mapsr.legends import Legend
from mapsr.progress import Progress
from mapsr.rounds.region import LabelRegion, patches_of
from mapsr.rounds.settings import LabelSettings
from mapsr.settings import kind_of

_LOOKED = 64
"""Patches that are read, evenly spaced over all images."""
_SHOWN = 8
"""Values that are named of an unmapped column or product."""


def dry_run(settings: LabelSettings, region: LabelRegion, progress: Progress) -> Iterator[Finding]:
    """Say what a labelling would do: images, products, levels, thresholds, coverage, codes, tags.

    Args:
        settings: of the command.
        region: images, products and truth.
        progress: shows the reading of patches.

    Raises:
        MapsrError: a file can't be read.
    """
    grids = [image.info.grid for image in region.images]
    total = sum(grid.height * grid.width for grid in grids)
    systems = ", ".join(dict.fromkeys(crs_name(grid.crs) for grid in grids))
    yield Finding("images", f"{len(grids)}, {pixels(total)}, {systems}")
    seen, all_patches = _look(settings, region, progress)
    yield Finding("patches", f"{all_patches} of {settings.patch} px, {seen.patches} looked at")
    if seen.bare_patches:
        yield Finding("patches", f"{seen.bare_patches} without any product: undetermined")
    for number, opened in enumerate(region.products):
        yield from _of_product(region, opened, seen, number)
    yield from _of_rule(region)
    share = float(seen.trusted.sum()) / max(seen.pixels, 1)
    yield Finding("votes", f"{percent(share)} of the pixels looked at would be trusted")
    yield from region.plan.findings()
    for one in mistyped_tags(region.products):
        yield Finding(one.topic, f"{one.text}. {one.remedy or ''}".strip())
    yield Finding("rounds", _rounds(settings, region))


def _look(
    settings: LabelSettings, region: LabelRegion, progress: Progress
) -> tuple[Statistics, int]:
    """Vote on some patches; return what was counted, and how many patches there are."""
    patches = [
        (image, window)
        for image in region.images
        for window in patches_of(image.info.grid, settings.patch)
    ]
    some = evenly(patches, _LOOKED)
    plan, counted = region.plan, []
    for image, window in progress.track(some, "look", len(some)):
        prompts = read_patch(region.products, plan.weights, plan.target, image.info.grid, window)
        prompts = prompts.within(read_valid(image.info.path, window))
        counted.append(count_patch(plan, prompts, vote(prompts, plan.rule_for(prompts))))
    return sum(counted[1:], counted[0]), len(patches)


def _of_product(
    region: LabelRegion, opened: OpenProduct, seen: Statistics, number: int
) -> Iterator[Finding]:
    """What is found of one product."""
    standing, name = region.plan.standings[number], opened.product.name
    grids = opened.tiles.grids if opened.tiles else ()
    systems = dict.fromkeys([one.crs for one in grids] + [file.crs for _, file in opened.layers])
    why = f" ({standing.reason})" if standing.reason else ""
    yield Finding(
        name,
        f"level {standing.level}, weight {standing.weight / 10:g}; suggested {standing.suggested}"
        f"{why}; {', '.join(map(crs_name, systems))}",
    )
    seen_px = max(seen.pixels, 1)  # the images may be empty where it was looked
    covered, said = (float(values[number]) / seen_px for values in (seen.covered, seen.said))
    yield Finding(name, f"covers {percent(covered)} of the pixels, votes at {percent(said)}")
    if codes := seen.unmapped[number]:
        shown = ", ".join(f"{code} ({count} px)" for code, count in codes.most_common(_SHOWN))
        yield Finding(name, f"codes without mapping: {shown}")
    for what, counts in (("repaired", seen.repaired), ("skipped", seen.skipped)):
        if counts[number]:
            yield Finding(name, f"{int(counts[number])} broken geometries {what}")
    yield from _tags(opened)


def _tags(opened: OpenProduct) -> Iterator[Finding]:
    """Values of the keys that are looked at which no tag meets, the most frequent first."""
    for layer, file in opened.layers:
        for key in layer.keys:
            named = {tag.value for tag in layer.tags if tag.key == key}
            if ANY in named or key not in file.columns:
                continue
            rest = {v: n for v, n in value_counts(file, key).items() if v and v not in named}
            if rest:
                first = sorted(rest.items(), key=lambda one: (-one[1], one[0]))[:_SHOWN]
                shown = ", ".join(f"{key}={value} ({count})" for value, count in first)
                more = f" and {len(rest) - len(first)} more" if len(rest) > len(first) else ""
                yield Finding(opened.product.name, f"tags without mapping: {shown}{more}")


def _of_rule(region: LabelRegion) -> Iterator[Finding]:
    plan = region.plan
    target: Legend = plan.target
    for place, index in enumerate(plan.rule.priority, 1):
        total = sum(claim.weight for claim in plan.claims if claim.target == index)
        threshold = plan.rule.thresholds[index] or 0
        text = f"{target.names[index]}: threshold {threshold / 10:g} of {total / 10:g}"
        yield Finding(f"priority {place}", text)


def _rounds(settings: LabelSettings, region: LabelRegion) -> str:
    if not settings.rounds:
        return "none: vote, and stop"
    rule = "validation truth" if region.judges.validates else "agreement on held-out pixels"
    method = kind_of(settings.method)
    return f"at most {settings.rounds} of method {method}, as long as {rule} gets better"
