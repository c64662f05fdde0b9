"""A plan of voting: all that is settled before the first pixel is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from mapsr.errors import ConfigError
from mapsr.findings import Finding
from mapsr.labelling.levels import (
    Claim,
    Standing,
    VotingSettings,
    claims_of,
    derive_rule,
    given_rule,
    rank_products,
    unreachable,
)
from mapsr.labelling.products import Product, VectorSource
from mapsr.labelling.prompts import PatchPrompts
from mapsr.labelling.registry import Registry
from mapsr.labelling.voting import Rule
from mapsr.legends import Legend


@dataclass(frozen=True)
class Plan:
    """Products in order of their bits, how far each is trusted, and the rule of the region."""

    products: tuple[Product, ...]
    """Of the registry."""
    target: Legend
    """Legend of the map."""
    standings: tuple[Standing, ...]
    """Level and weight of each product, and what the paper's rule suggests."""
    claims: tuple[Claim, ...]
    """Which classes each product can vote for."""
    rule: Rule
    """Of the region; patches with other products may have their own, see ``rule_for``."""
    settings: VotingSettings
    """How votes are weighed."""
    resolution_m: float | None = None
    """Pixel size of the image in metres; None: unknown."""

    @property
    def weights(self) -> tuple[int, ...]:
        """Tenths of each product."""
        return tuple(standing.weight for standing in self.standings)

    def rule_for(self, patch: PatchPrompts) -> Rule:
        """Return the rule of a patch: the region's, or with thresholds=patch its own."""
        if self.settings.thresholds != "patch":
            return self.rule
        present: Sequence[bool] = patch.present
        if self.settings.presence == "votes":
            said = {prompt.product for prompt in patch.prompts if prompt.mask.any()}
            present = [index in said for index in range(len(self.products))]
        return derive_rule(self.claims, len(self.target), self.settings, present)

    def findings(self) -> list[Finding]:
        """Name what will come out poorly: classes that can never be labelled, and broken lines.

        Raises:
            ConfigError: no class can ever be labelled; see ``unreachable``.
        """
        return [*unreachable(self.rule, self.claims, self.target), *self._narrow_lines()]

    def _narrow_lines(self) -> list[Finding]:
        """Name the tags whose lines are narrower than a pixel, so that centres fall beside them."""
        if self.resolution_m is None:
            return []
        return [
            Finding(
                product.name,
                f"{tag} is burnt {2 * tag.buffer_m:g} m wide, less than a pixel of "
                f"{self.resolution_m:g} m, and will be broken",
            )
            for product in self.products
            if isinstance(product.source, VectorSource)
            for layer in product.source.layers
            for tag in layer.tags
            if 0 < 2 * tag.buffer_m < self.resolution_m
        ]


def make_plan(registry: Registry, settings: VotingSettings) -> Plan:
    """Settle levels, weights, thresholds and priority for a region.

    Levels depend on the image's resolution and year: for images of others, make a plan of their own
    from a copy of the registry (``dataclasses.replace``).

    Raises:
        ConfigError: thresholds=given, and the registry gives none; or no class can ever be
            labelled.
        LegendError: a product or the rule names what is not a class of the target legend.
    """
    target, products = registry.target, registry.products
    standings = rank_products(products, registry.resolution_m, registry.reference, settings)
    claims = claims_of(products, standings, target)
    if settings.thresholds != "given":
        rule = derive_rule(claims, len(target), settings)
    elif registry.thresholds:
        rule = given_rule(registry.thresholds, registry.priority, target, settings.strict)
    else:
        raise ConfigError(
            f"voting.thresholds is 'given', and registry '{registry.name}' gives none: add its key "
            "'voting', or choose 'region'."
        )
    plan = Plan(products, target, standings, claims, rule, settings, registry.resolution_m)
    plan.findings()
    return plan
