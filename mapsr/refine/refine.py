"""Graph-based refinement of a chip's scores."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr.errors import require_choice, require_range
from mapsr.processors import multiplies_bfloat16
from mapsr.refine.batched import propagated_batch
from mapsr.refine.graph import Kernel, neighbour_graph, normalised, symmetric
from mapsr.refine.propagation import SOLVERS
from mapsr.refine.slic import batched_superpixels
from mapsr.refine.superpixels import ROUNDS, superpixels
from mapsr.settings import choice

if TYPE_CHECKING:
    from scipy import sparse


Superpixels = TypeVar("Superpixels")


class PixelVectors(Protocol):
    """What refinement asks of features, whether factored or not."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) pixels."""
        ...

    def select(self, part: int) -> "PixelVectors":
        """The features of one image of the batch, as a batch of one."""
        ...

    def unit_sums(self, labels: Tensor, count: int) -> Tensor:
        """Sum of unit-length features over pixel sets, (1, count, D)."""
        ...


@choice("refine", "graph")
@dataclass(frozen=True)
class RefineSettings:
    """How scores are refined; the defaults are the paper's."""

    nodes: str = "superpixels"
    """What the graph is made of. "superpixels": the paper's, a few thousand nodes a chip; "pixels":
    those of square windows, slower and blind to what lies outside of a window, for comparison;
    "none": the scores stay as they are, the fastest."""
    segments: int = 5000
    """Superpixels of a chip of 448 x 448 px; other sizes in proportion. A superpixel must be
    smaller than the smallest object to keep: 5000 are 40 px each. The cost of the graph grows with
    their square."""
    compactness: float = 10.0
    """SLIC's weight of distance against colour (CIELAB). Vary it by factors of ten: 1 follows
    colours into ragged shapes, 10 suits aerial images, 100 makes squares."""
    superpixels: str = "auto"
    """Whose SLIC cuts them: "skimage", scikit-image's, chip by chip on the CPU; "torch", all chips
    of a batch where they are, with the graph and its solution there too; "auto": torch on a GPU,
    else skimage. Maps differ about as much as those of two seeds do."""
    rounds: int = ROUNDS
    """SLIC's rounds of assignment and update; the paper of SLIC finds ten enough. Fewer take less
    time: speed=fast takes 5, and docs/speed.md says what its settings cost together."""
    stretched: bool = False
    """Stretch each chip's values to [0, 1] before colours are compared, as the released code does:
    the same edge then counts more in a dull chip. false cuts all chips of a raster alike."""
    window: int = 112
    """Side of the windows of a pixel graph, in pixels; only for nodes=pixels. Larger windows let
    scores travel further, at a cost that grows with the square of the side."""
    neighbours: int = 100
    """Nearest neighbours k of a node, itself included; clamped to the number of nodes. Fewer keep
    rare classes from being outvoted, more smooth more; cost and memory grow with k."""
    joint: bool = True
    """Nearest by feature and place together, as in the paper; false: by feature alone, as in the
    released code, so that far-off places of like look join in."""
    gamma: float = 1.0
    """Exponent of the feature similarity. 1 takes the cosine as it is; larger values (3) trust only
    the most similar nodes, which helps where features of all classes are alike; 0 ignores it."""
    sigma: float = 1.0
    """Decay with distance, in units of the chip's side; 0 leaves distance out. At 1 the opposite
    side of a chip still counts a third; take 10 or more to keep scores local."""
    power: float = 2.0
    """Exponent p of the distance: 2 falls like a Gaussian, gently at first; 1 falls from the start;
    matters only if ``sigma`` is large."""
    mutual_twice: bool = False
    """Count an edge twice that both ends chose, as W + W^T does in the released code; false takes
    the larger of both weights. Set it only to repeat the released code."""
    alpha: float = 0.5
    """Weight of the neighbours against the node's own score, in [0, 1). 0 leaves the superpixels'
    means, 0.5 is the paper's; towards 1 small classes vanish and the solver takes more steps."""
    heat: str = "cosine"
    """What is propagated: "cosine", the paper's scores, or "minmax", stretched over the classes of
    each pixel, which gives every pixel an equal say, as in the released code."""
    solver: str = "fixed_point"
    """"fixed_point", the paper's iteration, or "conjugate_gradients", which needs fewer steps for
    alpha near 1; both end at the same scores."""
    tolerance: float = 1e-6
    """Relative error at which the solver stops, up to 0.1. Labels are settled long before 1e-6;
    1e-3 saves about half of the steps."""
    most_steps: int | None = None
    """Stop the solver after so many steps in any case; null: only the tolerance counts. Set it to
    repeat the released code (10)."""
    precision: str = "float32"
    """Numbers whose products say how alike two nodes are: "float32", or "bfloat16" where the
    processor has instructions for it, which takes half of the time; neighbours that are alike to
    three digits may then change places. speed=fast sets it."""
    exact_up_to: int = 20000
    """Above so many nodes, neighbours are found by an approximate index. Exact search takes time
    with the square of the nodes; lower this only if a map of large chips is too slow."""

    def __post_init__(self) -> None:
        require_choice(self.nodes, ("superpixels", "pixels", "none"), "refine.nodes")
        require_choice(self.superpixels, ("auto", "skimage", "torch"), "refine.superpixels")
        require_choice(self.precision, ("float32", "bfloat16"), "refine.precision")
        require_choice(self.heat, ("cosine", "minmax"), "refine.heat")
        require_choice(self.solver, SOLVERS, "refine.solver")
        require_range(self.alpha, "refine.alpha", high=1 - 1e-6)
        require_range(self.tolerance, "refine.tolerance", open_low=True, high=0.1)
        for name in ("segments", "rounds", "window", "neighbours"):
            require_range(getattr(self, name), f"refine.{name}", low=1)
        for name in ("gamma", "sigma", "power"):
            require_range(getattr(self, name), f"refine.{name}")
        require_range(self.compactness, "refine.compactness", open_low=True)

    def in_place(self, device: torch.device) -> bool:
        """Whether chips are refined in batches where they are."""
        if self.nodes != "superpixels" or self.superpixels == "skimage":
            return False
        return self.superpixels == "torch" or device.type == "cuda"

    def cut(self, slic: Callable[..., Superpixels], image: Tensor, valid: Tensor) -> Superpixels:
        """Call ``superpixels`` or ``batched_superpixels`` as the settings say."""
        return slic(
            image,
            valid,
            self.segments,
            self.compactness,
            stretched=self.stretched,
            rounds=self.rounds,
        )

    def products_on(self, device: torch.device) -> torch.dtype:
        """Type of the numbers whose products compare nodes on a device."""
        able = self.precision == "bfloat16" and multiplies_bfloat16(device)
        return torch.bfloat16 if able else torch.float32


def refine(
    features: PixelVectors,
    scores: Tensor,
    image: Tensor,
    valid: Tensor,
    settings: RefineSettings,
) -> Tensor:
    """Refine the scores of a batch of chips.

    Args:
        features: of B images of H' x W' pixels; H' >= H, W' >= W (padded at the far edges).
        scores: (B, C, H, W) cosine to each class.
        image: (B, 3 or more, H, W) in [0, 1].
        valid: (B, H, W) bool.
        settings: see there.

    Returns:
        (B, C, H, W); pixels outside the valid area keep their scores, stretched if the others are.

    Source: MapSR, equations (10) to (13).
    """
    if settings.nodes == "none":
        return scores
    heat = stretch(scores) if settings.heat == "minmax" else scores
    cut = (
        _cut(image.to(scores.device), valid, settings) if settings.in_place(scores.device) else None
    )
    if cut is not None and 0 < cut.most <= settings.exact_up_to:
        return propagated_batch(features, heat, cut.labels, cut.counts, cut.most, settings)
    refined = heat.clone()
    for part in range(len(scores)):
        one = features.select(part)
        graphs = cut.of(part) if cut else _nodes(image[part], valid[part], settings)
        for labels, count in graphs:
            if count:
                refined[part] = _propagated(one, refined[part], heat[part], labels, count, settings)
    return refined


def stretch(scores: Tensor) -> Tensor:
    """Stretch the scores of each pixel to [0, 1] over its classes (B, C, H, W) and a zero.

    The zero stands for the background, whose prompt is empty: where all scores are positive, the
    map is score / largest score.
    """
    low = scores.amin(1, keepdim=True).clamp(max=0)
    high = scores.amax(1, keepdim=True).clamp(min=0)
    return (scores - low) / (high - low + 1e-8)


@dataclass(frozen=True)
class _Cut:
    """Superpixels of a batch: labels (B, H, W), counts (B,) on the device, the largest count.

    That number is all that the host asks of a batch: it has to know how large arrays are.
    """

    labels: Tensor
    counts: Tensor
    most: int

    def of(self, part: int) -> list[tuple[Tensor, int]]:
        """The graphs of an image, as ``_nodes`` yields them."""
        return [(self.labels[part], int(self.counts[part]))]


def _cut(image: Tensor, valid: Tensor, settings: RefineSettings) -> _Cut:
    labels, counts = settings.cut(batched_superpixels, image, valid)
    return _Cut(labels, counts, int(counts.max()))


def _nodes(image: Tensor, valid: Tensor, settings: RefineSettings) -> Iterator[tuple[Tensor, int]]:
    """Yield labels (H, W) int64, negative outside, and their count, graph by graph."""
    if settings.nodes == "superpixels":
        yield settings.cut(superpixels, image, valid)
        return
    height, width = valid.shape
    for top in range(0, height, settings.window):
        for left in range(0, width, settings.window):
            labels = torch.full((height, width), -1)
            inside = torch.zeros((height, width), dtype=torch.bool)
            inside[top : top + settings.window, left : left + settings.window] = True
            inside &= valid.cpu()
            count = int(inside.sum())
            labels[inside] = torch.arange(count)
            yield labels, count


def _propagated(
    features: PixelVectors,
    refined: Tensor,
    heat: Tensor,
    labels: Tensor,
    count: int,
    settings: RefineSettings,
) -> Tensor:
    labels = labels.to(heat.device)
    inside = labels >= 0
    node = labels[inside]  # (n,)
    size = torch.bincount(node, minlength=count)[:, None]
    values = heat[:, inside].T  # (n, C)
    begin = values.new_zeros(count, len(heat)).index_add_(0, node, values) / size
    graph = _graph(features, labels, count, size, settings)
    solve = SOLVERS[settings.solver]
    end = solve(
        graph,
        begin.double().cpu().numpy(),
        settings.alpha,
        settings.tolerance,
        settings.most_steps,
    )
    refined[:, inside] = torch.from_numpy(end).to(heat)[node].T
    return refined


def _graph(
    features: PixelVectors, labels: Tensor, count: int, size: Tensor, settings: RefineSettings
) -> "sparse.csr_array":
    height, width = labels.shape
    inside = labels >= 0
    whole = F.pad(
        labels,
        (0, features.size[1] - width, 0, features.size[0] - height),
        value=-1,
    )
    unit = F.normalize(features.unit_sums(whole[None], count)[0], dim=1)  # (N, D)
    place = inside.nonzero() + 0.5  # (n, 2)
    place = place / torch.tensor([height, width], device=place.device)
    centre = place.new_zeros(count, 2).index_add_(0, labels[inside], place) / size
    weights = neighbour_graph(
        unit,
        centre,
        Kernel(settings.gamma, settings.sigma, settings.power),
        settings.neighbours,
        joint=settings.joint,
        exact_up_to=settings.exact_up_to,
        products=settings.products_on(unit.device),
    )
    return normalised(symmetric(weights, mutual_twice=settings.mutual_twice))
