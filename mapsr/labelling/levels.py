"""How far each product is trusted: levels and weights, and the thresholds that follow from them.

Source: EcoVision, J. Remote Sens. 2025, 0811, Table 3 and the rules in its text, which give the
table exactly once a threshold is capped at the weight that is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from mapsr.errors import ConfigError, near_match, require_choice, require_range
from mapsr.findings import Finding
from mapsr.labelling.products import Product
from mapsr.labelling.voting import Rule
from mapsr.legends import Legend
from mapsr.settings import choice

LEVELS = (1, 2, 3)


@choice("voting", "weighted")
@dataclass(frozen=True)
class VotingSettings:
    """How votes are weighed.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """

    level_weights: tuple[int, int, int] = (3, 2, 1)
    """Tenths that a product of level 1, 2 and 3 weighs."""
    thresholds: str = "region"
    """Where thresholds and priority come from: "given" by the registry; derived from all products
    of the "region"; or from those present in each "patch", where products differ by place."""
    cap: str = "floored"
    """Upper bound of a derived threshold: "total", the weight of all products of the class, which
    lets a single weak product decide where it is alone; "floored", the same but never below the
    base; "none". The first two give the paper's Table 3."""
    presence: str = "covers"
    """When a product counts as present in a patch: it "covers" some pixel, or it "votes" there."""
    base_votes: int = 3
    """Votes of level 3 that make the base of a threshold where no product of level 1 is present."""
    strict: bool = False
    """Demand more than the threshold; see ``Rule``."""

    def __post_init__(self) -> None:
        require_choice(self.thresholds, ("given", "region", "patch"), "voting.thresholds")
        require_choice(self.cap, ("floored", "total", "none"), "voting.cap")
        require_choice(self.presence, ("covers", "votes"), "voting.presence")
        require_range(self.base_votes, "voting.base_votes", low=1)
        for weight in self.level_weights:
            require_range(weight, "voting.level_weights", low=1, high=10)


@dataclass(frozen=True)
class Standing:
    """How far one product is trusted, and why."""

    product: str
    """Name of the product."""
    gap_years: int | None
    """Years between product and image; None: unknown."""
    pixel_ratio: float | None
    """Pixel size of the product in pixels of the image; None: unknown, or vectors."""
    suggested: int
    """Level by the rule."""
    reason: str
    """Why the rule gives no better level."""
    level: int
    """Level that counts: the registry's, else the suggested one."""
    weight: int
    """Tenths that count: the registry's, else those of the level."""

    def as_dict(self) -> dict[str, object]:
        """Return the fields for a table or JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Claim:
    """That a product can vote for a class, before any pixel is read."""

    product: int
    """Index of the product."""
    target: int
    """Index of the class."""
    weight: int
    """Tenths."""
    level: int
    """1 to 3."""
    complex: bool
    """Some value that votes for the class votes for another too."""
    fine: bool
    """Of a thematic product, not complex, and no coarser than the image."""


def suggest_level(
    gap_years: int | None, pixel_ratio: float | None, accuracy: float | None, thematic: bool
) -> tuple[int, str]:
    """Suggest the level of a product.

    Level 1: thematic, within a year of the image, no coarser than it, more than 85 % right. Level
    2: within five years, at most four pixels of the image, more than 80 % right. Else level 3.

    Args:
        gap_years: between product and image; None: unknown.
        pixel_ratio: pixel size of the product over that of the image; None: unknown.
        accuracy: percent; None: unknown.
        thematic: maps one theme rather than all land cover.

    Returns:
        The level, and what keeps the product from a better one ("" for level 1).
    """
    kept = _obstacles(gap_years, pixel_ratio, accuracy, 5, 4.0, 80.0)
    if kept:
        return 3, "; ".join(kept)
    kept = _obstacles(gap_years, pixel_ratio, accuracy, 1, 1.0, 85.0)
    if not thematic:
        kept.append("only thematic products are of level 1")
    return (2, "; ".join(kept)) if kept else (1, "")


def rank_products(
    products: Sequence[Product],
    resolution_m: float | None,
    reference: int | None,
    settings: VotingSettings,
) -> tuple[Standing, ...]:
    """Say how far each product is trusted beside an image: the table of what was suggested and why.

    Args:
        products: of the registry.
        resolution_m: pixel size of the image in metres; None: unknown.
        reference: year of the image; None: unknown.
        settings: gives the weights of the levels.
    """
    return tuple(_rank(product, resolution_m, reference, settings) for product in products)


def claims_of(
    products: Sequence[Product], standings: Sequence[Standing], target: Legend
) -> tuple[Claim, ...]:
    """Return which classes each product can vote for.

    Raises:
        LegendError: a product votes for what is not a class of the target legend.
    """
    claims = []
    for index, (product, standing) in enumerate(zip(products, standings, strict=True)):
        ratio = standing.pixel_ratio
        sharp = product.thematic and ratio is not None and ratio <= 1
        for name, several in product.targets().items():
            place = target.index(name)
            fine = sharp and not several
            claims.append(Claim(index, place, standing.weight, standing.level, several, fine))
    return tuple(claims)


def derive_rule(
    claims: Sequence[Claim],
    classes: int,
    settings: VotingSettings,
    present: Sequence[bool] | None = None,
) -> Rule:
    """Derive thresholds and priority from the products that are present.

    A threshold is a base, and the weights of all complex prompts of the class on top, capped (see
    ``VotingSettings``). The base is the weight of level 1 where a product of that level has the
    class, else that of some votes of level 3. Classes with a fine thematic product come first, then
    those with more products, then those that stand earlier in the target legend.

    Args:
        claims: of all products.
        classes: number of classes of the target legend.
        settings: weights and cap.
        present: which products are present, by index; None: all.
    """
    mine: list[list[Claim]] = [[] for _ in range(classes)]
    for claim in claims:
        if present is None or present[claim.product]:
            mine[claim.target].append(claim)
    thresholds = tuple(_threshold(some, settings) if some else None for some in mine)
    order = sorted(
        (target for target in range(classes) if mine[target]),
        key=lambda target: (not any(one.fine for one in mine[target]), -len(mine[target]), target),
    )
    return Rule(tuple(order), thresholds, settings.strict)


def given_rule(
    thresholds: Mapping[str, int], priority: Sequence[str], target: Legend, strict: bool = False
) -> Rule:
    """Return the rule that a registry gives by name.

    Args:
        thresholds: tenths by class.
        priority: all of these classes, the first one first.
        target: legend of the map.
        strict: see ``Rule``.

    Raises:
        ConfigError: the two don't name the same classes.
        LegendError: a name is not a class of the target legend.
    """
    for name in (*thresholds, *priority):
        if name not in thresholds or name not in priority:
            other = priority if name in thresholds else thresholds
            raise ConfigError(
                f"The class '{name}' has a threshold or a place in the priority but not both, "
                f"expected both.{near_match(name, other)}"
            )
    by_index = {target.index(name): value for name, value in thresholds.items()}
    return Rule(
        tuple(target.index(name) for name in priority),
        tuple(by_index.get(index) for index in range(len(target))),
        strict,
    )


def unreachable(rule: Rule, claims: Sequence[Claim], target: Legend) -> list[Finding]:
    """Name the classes of the target legend that voting can never label, and why.

    Raises:
        ConfigError: they are all classes.
    """
    findings = []
    for index, name in enumerate(target.names):
        threshold = rule.thresholds[index]
        total = sum(claim.weight for claim in claims if claim.target == index)
        if threshold is None or not total:
            text = "can never be labelled by votes: no product votes for it"
        elif total < threshold or (rule.strict and total == threshold):
            more = "more than " if rule.strict else ""
            text = (
                f"can never be labelled by votes: its products weigh {total / 10:g} together, and "
                f"the threshold is {more}{threshold / 10:g}"
            )
        else:
            continue
        findings.append(Finding(name, text))
    if len(findings) == len(target):
        raise ConfigError(
            f"No class of legend '{target.name}' can ever be labelled by votes, expected at least "
            f"one; {findings[0].topic} {findings[0].text}: add products, or raise their weights."
        )
    return findings


def _obstacles(
    gap: int | None,
    ratio: float | None,
    accuracy: float | None,
    most_years: int,
    most_ratio: float,
    above: float,
) -> list[str]:
    """What keeps a product from a level with these bounds."""
    found = []
    if gap is None or gap > most_years:
        what = "its year is unknown" if gap is None else f"{gap} years from the image"
        found.append(f"{what}, not within {most_years}")
    if ratio is None or ratio > most_ratio:
        what = "its resolution is unknown" if ratio is None else f"{ratio:.3g} pixels of the image"
        found.append(f"{what}, not within {most_ratio:g}")
    if accuracy is None or accuracy <= above:
        what = "its accuracy is unknown" if accuracy is None else f"{accuracy:g} % right"
        found.append(f"{what}, not above {above:g} %")
    return found


def _rank(
    product: Product, resolution_m: float | None, reference: int | None, settings: VotingSettings
) -> Standing:
    gap = ratio = None
    if product.reference is not None and reference is not None:
        gap = abs(product.reference - reference)
    if product.resolution_m is not None and resolution_m is not None:
        ratio = product.resolution_m / resolution_m
    suggested, reason = suggest_level(gap, ratio, product.accuracy, product.thematic)
    level = product.level or suggested
    weight = product.weight or settings.level_weights[level - 1]
    return Standing(product.name, gap, ratio, suggested, reason, level, weight)


def _threshold(claims: Sequence[Claim], settings: VotingSettings) -> int:
    """Threshold in tenths of a class with some claims."""
    first, _, third = settings.level_weights
    base = first if any(claim.level == 1 for claim in claims) else settings.base_votes * third
    total = sum(claim.weight for claim in claims)
    rule = base + sum(claim.weight for claim in claims if claim.complex)
    if settings.cap == "none":
        return rule
    return min(rule, max(total, base) if settings.cap == "floored" else total)
