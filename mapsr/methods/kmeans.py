"""K-means and voting: clusters of pixels, each named by the coarse labels that fall on it.

Source: MapSR, Table I, "K-means + voting": each K-means cluster takes its class by majority vote
of the coarse labels. Number of clusters, feature space, sampling and starts are not published: the
defaults here are this package's own.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mapsr.data import Chip
from mapsr.errors import ConfigError, DataError, FittedError, require_choice, require_range
from mapsr.extras import require_extra
from mapsr.legends import NODATA, Crosswalk, Legend
from mapsr.methods.ahead import chips_ahead, in_order
from mapsr.methods.clusters import (
    BandFeatures,
    Clusters,
    Features,
    are_whole,
    centres_of,
    require_labels,
    statistics,
)
from mapsr.methods.extractor import FeatureExtractor, build_extractor
from mapsr.methods.material import coarse_labels
from mapsr.methods.method import FitWork, ImageFacts, Method, State, Task
from mapsr.methods.parts import MethodParts, Runtime
from mapsr.processors import one_thread
from mapsr.progress import stage, up_to
from mapsr.settings import Plain, choice

logger = logging.getLogger(__name__)

_TENSORS = ("mean", "deviation", "centres", "votes")


@choice("method", "kmeans_voting")
@dataclass(frozen=True)
class KMeansSettings:
    """K-means clusters of pixels, each named by the coarse labels on it; trains nothing."""

    features: str = "image"
    """What is clustered: the "image" (bands of a pixel and their mean around it), or "encoder"."""
    radius: int = 3
    """Half-width in pixels of the square whose mean is taken, with features=image; 0: no mean."""
    clusters: int = 64
    """How many clusters; more follow colours more finely, and name each by fewer labels."""
    pixels: int = 131072
    """Pixels sampled in all, evenly from the chips, whether they are labelled or not."""
    restarts: int = 3
    """Starts of K-means, of which the one with the tightest clusters is kept."""
    iterations: int = 100
    """Most iterations of a start."""
    chips: int | None = 512
    """Most chips to fit on, drawn evenly from all; null: all."""

    def __post_init__(self) -> None:
        require_choice(self.features, ("image", "encoder"), "method.features")
        require_range(self.radius, "method.radius")
        for name in ("clusters", "pixels", "restarts", "iterations"):
            require_range(getattr(self, name), f"method.{name}", low=1)
        if self.chips is not None:
            require_range(self.chips, "method.chips", low=1)
        if self.pixels < self.clusters:
            raise ConfigError(
                f"method.pixels is {self.pixels} and method.clusters {self.clusters}, expected at "
                "least as many pixels as clusters: raise method.pixels."
            )

    adjustable: ClassVar[tuple[str, ...]] = ()

    @property
    def uses(self) -> tuple[str, ...]:
        """Groups that results depend on."""
        return ("backbone", "upsampler", "speed") if self.features == "encoder" else ()

    def learns_from(self, parts: MethodParts) -> str:
        """The coarse labels, which vote."""
        return "coarse"

    def build(self, parts: MethodParts, runtime: Runtime, target: Legend) -> "KMeansVoting":
        """Build encoder and upsampler, with features=encoder.

        Raises:
            WeightsError: weights are absent, damaged or of another architecture.
        """
        extractor = build_extractor(parts, runtime) if self.features == "encoder" else None
        return KMeansVoting(self, target.names, extractor, runtime)


class KMeansVoting(Method):
    """The method: cluster pixels once, let coarse labels vote, then look clusters up.

    Attributes:
        clusters: once fitted.
    """

    def __init__(
        self,
        settings: KMeansSettings,
        classes: Sequence[str],
        extractor: FeatureExtractor | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """Make it without clusters.

        Args:
            settings: what is clustered, and how.
            classes: names of the C target classes.
            extractor: gives pixel features, with features=encoder.
            runtime: where it computes; None: on the CPU.

        Raises:
            ConfigError: features=encoder without an extractor.
        """
        if settings.features == "encoder" and extractor is None:
            raise ConfigError(
                "method.features is encoder, but there is no encoder: choose a backbone and an "
                "upsampler, or method.features=image."
            )
        self.settings = settings
        self.extractor = extractor if settings.features == "encoder" else None
        self.clusters: Clusters | None = None
        self._runtime = runtime or Runtime(torch.device("cpu"))
        self._classes = tuple(classes)
        self._sampled = 0

    @property
    def trained_parameters(self) -> int:
        """None: centres and votes are counted, not trained."""
        return 0

    @property
    def weights(self) -> dict[str, dict[str, str] | None]:
        """Of encoder and upsampler, with features=encoder."""
        return self.extractor.weights if self.extractor else {}

    @property
    def features_from(self) -> FeatureExtractor | None:
        """Encoder and upsampler, with features=encoder."""
        return self.extractor

    @torch.no_grad()
    def fit(self, task: Task) -> None:
        """Sample pixels, cluster them, and count the coarse labels on each cluster.

        Raises:
            DataError: a scene has no coarse product.
            DataError: no sampled pixel is labelled, or fewer than there are clusters.
            ConfigError: scikit-learn is not installed.
        """
        require_extra("sklearn", "method=kmeans_voting")
        ahead = chips_ahead(self._runtime.device)
        with self._runtime.watch("features"), one_thread():
            sample, labels = self._sample(task, ahead)
        self._sampled = len(labels)
        require_labels(labels, self.settings.clusters)
        mean, deviation = statistics(sample)
        with self._runtime.watch("cluster"), stage(task.progress, "clusters"):
            settings = self.settings
            centres = centres_of(
                (sample - mean) / deviation,
                settings.clusters,
                settings.restarts,
                settings.iterations,
                task.seed,
            )
        count, classes = len(centres), len(self._classes)
        clusters = Clusters(mean, deviation, centres, torch.zeros(count, classes))
        found = clusters.nearest(BandFeatures(sample.T[None, :, None]))[0, 0]  # (n,)
        known = labels != NODATA
        pairs = torch.bincount(found[known] * classes + labels[known], minlength=count * classes)
        votes = pairs.view(count, classes)
        self.clusters = Clusters(mean, deviation, centres, votes).to(self._runtime.device)
        self._report(found)

    @torch.no_grad()
    def score(self, chips: Sequence[Chip], layers: Sequence[str] = ("map",)) -> dict[str, Tensor]:
        """Score chips of one size.

        Returns:
            "map": (B, C, H, W) in [0, 1], each class's share of the votes of the pixel's cluster.
        """
        clusters = self._fitted()
        height, width = chips[0].valid.shape
        found = clusters.nearest(self._features(chips))[:, :height, :width]
        return {"map": clusters.shares[found].permute(0, 3, 1, 2)}

    def facts(self) -> Plain:
        """Pixels, votes and clusters by class, ready for JSON."""
        clusters = self._fitted()
        votes = clusters.votes.sum(0).tolist()
        won = clusters.shares.argmax(1).bincount(minlength=len(self._classes)).tolist()
        return {
            "clusters": len(clusters.centres),
            "clusters_without_votes": int((clusters.votes.sum(1) == 0).sum()),
            "sampled_pixels": self._sampled,
            "votes": dict(zip(self._classes, votes, strict=True)),
            "clusters_of_class": dict(zip(self._classes, won, strict=True)),
            **({"speed": self.extractor.pace.facts()} if self.extractor else {}),
        }

    def state(self) -> State:
        """Clusters and votes.

        Raises:
            DataError: the method is not fitted.
        """
        clusters = self._fitted().to(torch.device("cpu"))
        tensors = {name: getattr(clusters, name) for name in _TENSORS}
        return State(tensors, {"sampled_pixels": self._sampled})

    def load(self, state: State) -> None:
        """Take clusters and votes.

        Raises:
            FittedError: they are not whole.
        """
        parts = [state.tensors.get(name) for name in _TENSORS]
        tensors = [one for one in parts if one is not None]
        if len(tensors) < len(parts) or not are_whole(tensors, len(self._classes)):
            raise FittedError(
                "The clusters of the file are not whole, expected finite centres and the votes of "
                f"{len(self._classes)} classes on each: fit the method again."
            )
        self.clusters = Clusters(*tensors).to(self._runtime.device)
        sampled = state.facts.get("sampled_pixels", 0)
        self._sampled = sampled if type(sampled) is int else 0

    def stand_in(self, coarse: Crosswalk, image: ImageFacts) -> None:
        """Take random clusters, each of which is of one class."""
        count, classes = self.settings.clusters, len(self._classes)
        dim = (image.bands or 1) * (2 if self.settings.radius else 1)
        dim = self.extractor.encoder.dim if self.extractor else dim
        centres = torch.randn(count, dim, generator=torch.Generator().manual_seed(0))
        votes = torch.eye(classes, dtype=torch.int64).repeat(-(-count // classes), 1)[:count]
        clusters = Clusters(torch.zeros(dim), torch.ones(dim), centres, votes)
        self.clusters = clusters.to(self._runtime.device)

    def work(self, chips: int) -> FitWork:
        """One pass over the chips, for features alone; K-means itself is seconds."""
        count = chips if self.settings.chips is None else min(chips, self.settings.chips)
        return FitWork(count, 1 if self.extractor else 0, words="clusters")

    def _fitted(self) -> Clusters:
        if self.clusters is None:
            raise DataError("There are no clusters yet: fit the method first.")
        return self.clusters

    def _features(self, chips: Sequence[Chip]) -> Features:
        if self.extractor is None:
            return BandFeatures.of(chips, self.settings.radius, self._runtime.device)
        return self.extractor(chips, remember=False)  # each chip is needed once

    def _sample(self, task: Task, ahead: int) -> tuple[Tensor, Tensor]:
        """Draw valid pixels of each chip; the draw depends on nothing but seed and chip.

        Returns:
            Features (n, D) and labels (n,) int64, 255 for none, on the CPU.
        """
        chips = task.chips(self.settings.chips)
        share = -(-self.settings.pixels // len(chips))
        features: list[Tensor] = []
        labels: list[Tensor] = []
        valid = ((number, chip) for number, chip in enumerate(chips) if chip.valid.any())
        pairs = in_order(lambda item: self._features([item[1]]), valid, ahead)
        ends = ((pair[0][0] + 1, pair) for pair in pairs)
        for (number, chip), found in up_to(task.progress, ends, "features", len(chips)):
            choices = chip.valid.nonzero()  # (n, 2)
            generator = torch.Generator().manual_seed(task.seed * 1_000_003 + number)
            rows, columns = choices[torch.randperm(len(choices), generator=generator)[:share]].T
            # the plane of the features may be wider than the chip
            pixels = rows * found.size[1] + columns
            features.append(found.at(pixels.to(self._runtime.device))[0].cpu())
            labels.append(coarse_labels(chip, task.coarse.table)[rows, columns].long())
        if not labels:
            return torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64)
        return torch.cat(features), torch.cat(labels)

    def _report(self, found: Tensor) -> None:
        clusters = self._fitted()
        if empty := int((found.bincount(minlength=len(clusters.centres)) == 0).sum()):
            logger.warning("%d clusters are empty: the sample has few different pixels", empty)
        won = clusters.shares.argmax(1).unique().tolist()
        absent = [name for number, name in enumerate(self._classes) if number not in won]
        if absent:
            logger.warning("no cluster is of %s: the map will hardly show it", ", ".join(absent))
