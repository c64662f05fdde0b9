"""K-means and voting: clusters of pixels, each named by the coarse labels that fall on it.

Source: MapSR, Table I, "K-means + voting": each K-means cluster takes its class by majority vote
of the coarse labels. Number of clusters, feature space, sampling and starts are not published: the
defaults here are this package's own.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mapsr.data import Chip
from mapsr.errors import ConfigError, DataError, require_choice, require_range
from mapsr.files import whole_file
from mapsr.legends import NODATA
from mapsr.methods.clusters import (
    BandFeatures,
    Clusters,
    Features,
    centres_of,
    statistics,
)
from mapsr.methods.extractor import FeatureExtractor
from mapsr.methods.labels import coarse_labels
from mapsr.methods.method import Method, Task
from mapsr.settings import choice

logger = logging.getLogger(__name__)

FILE = "kmeans.safetensors"
VERSION = 1


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


class KMeansVoting(Method):
    """The method: cluster pixels once, let coarse labels vote, then look clusters up.

    Attributes:
        clusters: once fitted.
    """

    def __init__(self, settings: KMeansSettings, extractor: FeatureExtractor | None = None) -> None:
        """Make it without clusters.

        Args:
            settings: what is clustered, and how.
            extractor: gives pixel features, with features=encoder.

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
        self._device = torch.device("cpu")
        self._classes: tuple[str, ...] = ()
        self._about: dict[str, object] = {}
        self._sampled = 0

    @property
    def trained_parameters(self) -> int:
        """None: centres and votes are counted, not trained."""
        return 0

    @property
    def weights(self) -> list[dict[str, str]]:
        """Of encoder and upsampler, with features=encoder."""
        if self.extractor is None:
            return []
        found = (self.extractor.encoder.weights, self.extractor.upsampler.weights)
        return [one for one in found if one]

    @torch.no_grad()
    def fit(self, task: Task) -> None:
        """Sample pixels, cluster them, and count the coarse labels on each cluster.

        Raises:
            DataError: a scene has no coarse product.
            DataError: no sampled pixel is labelled, or fewer than there are clusters.
        """
        self._device, self._classes = task.device, task.classes
        self._about = {"crosswalk": task.coarse.name, "settings": dict(task.settings)}
        with task.watch("features"):
            sample, labels = self._sample(task)
        self._sampled = len(labels)
        _check_labels(labels, self.settings)
        mean, deviation = statistics(sample)
        with task.watch("cluster"):
            settings = self.settings
            centres = centres_of(
                (sample - mean) / deviation,
                settings.clusters,
                settings.restarts,
                settings.iterations,
                task.seed,
            )
        count, classes = len(centres), len(task.classes)
        clusters = Clusters(mean, deviation, centres, torch.zeros(count, classes))
        found = clusters.nearest(BandFeatures(sample.T[None, :, None]))[0, 0]  # (n,)
        known = labels != NODATA
        pairs = torch.bincount(found[known] * classes + labels[known], minlength=count * classes)
        votes = pairs.view(count, classes)
        self.clusters = Clusters(mean, deviation, centres, votes).to(task.device)
        self._report(found)

    @torch.no_grad()
    def score(self, chips: Sequence[Chip]) -> dict[str, Tensor]:
        """Score chips of one size.

        Returns:
            "map": (B, C, H, W) in [0, 1], each class's share of the votes of the pixel's cluster.
        """
        clusters = self._fitted()
        height, width = chips[0].valid.shape
        found = clusters.nearest(self._features(chips))[:, :height, :width]
        return {"map": clusters.shares[found].permute(0, 3, 1, 2)}

    def facts(self) -> dict[str, object]:
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
        }

    def save(self, folder: Path) -> None:
        """Keep clusters and votes as kmeans.safetensors."""
        clusters = self._fitted().to(torch.device("cpu"))
        about = {"version": VERSION, "classes": self._classes, "method": asdict(self.settings)}
        names = ("mean", "deviation", "centres", "votes")
        tensors = {name: getattr(clusters, name).contiguous() for name in names}
        with whole_file(folder / FILE) as temporary:
            save_file(tensors, temporary, metadata={"mapsr": json.dumps(about | self._about)})

    def _fitted(self) -> Clusters:
        if self.clusters is None:
            raise DataError("There are no clusters yet: fit the method first.")
        return self.clusters

    def _features(self, chips: Sequence[Chip]) -> Features:
        if self.extractor is None:
            return BandFeatures.of(chips, self.settings.radius, self._device)
        return self.extractor(chips, remember=False)  # each chip is needed once

    def _sample(self, task: Task) -> tuple[Tensor, Tensor]:
        """Draw valid pixels of each chip; the draw depends on nothing but seed and chip.

        Returns:
            Features (n, D) and labels (n,) int64, 255 for none, on the CPU.
        """
        chips = task.cut(task.scenes, self.settings.chips)
        share = -(-self.settings.pixels // len(chips))
        features: list[Tensor] = []
        labels: list[Tensor] = []
        for number, chip in enumerate(task.progress.track(chips, "features", len(chips))):
            found = self._features([chip])
            choices = chip.valid.nonzero()  # (n, 2)
            generator = torch.Generator().manual_seed(task.seed * 1_000_003 + number)
            rows, columns = choices[torch.randperm(len(choices), generator=generator)[:share]].T
            # the plane of the features may be wider than the chip
            pixels = rows * found.size[1] + columns
            features.append(found.at(pixels.to(task.device))[0].cpu())
            labels.append(coarse_labels(chip, task.coarse.table)[rows, columns].long())
        return torch.cat(features), torch.cat(labels)

    def _report(self, found: Tensor) -> None:
        clusters = self._fitted()
        empty = int((found.bincount(minlength=len(clusters.centres)) == 0).sum())
        if empty:
            logger.warning("%d clusters are empty: the sample has few different pixels", empty)
        won = clusters.shares.argmax(1).unique().tolist()
        absent = [name for number, name in enumerate(self._classes) if number not in won]
        if absent:
            logger.warning("no cluster is of %s: the map will hardly show it", ", ".join(absent))


def _check_labels(labels: Tensor, settings: KMeansSettings) -> None:
    labelled = int((labels != NODATA).sum())
    if labelled == 0:
        raise DataError(
            f"None of the {len(labels)} sampled pixels has a coarse label of a target class: check "
            "the coarse product, legend.coarse and legend.crosswalk."
        )
    if labelled < settings.clusters:
        raise DataError(
            f"{labelled} of {len(labels)} sampled pixels have a coarse label, expected at least as "
            f"many as clusters ({settings.clusters}): lower method.clusters, raise method.pixels, "
            "or fit on more scenes."
        )
