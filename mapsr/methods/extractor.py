"""From chips to pixel features: pad, encode, upsample, remember."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mapsr.data import Chip
from mapsr.errors import ConfigError
from mapsr.features import Encoder
from mapsr.features.cached import CachedEncoder
from mapsr.methods.parts import MethodParts, Runtime
from mapsr.methods.speed import EXACT, Pace, pace_of
from mapsr.progress import Watch, unwatched
from mapsr.settings import values_of
from mapsr.upsample import EnlargedOperator, PixelFeatures, PixelOperator, Upsampler

logger = logging.getLogger(__name__)

# Fewest tokens along an axis: attention upsamplers look at a token's neighbours.
_FEWEST_TOKENS = 2


class FeatureExtractor:
    """Encoder and upsampler as one, with a memory for features that are needed again.

    The memory keeps what comes first until it is full: fitting reads all chips in order, twice.
    Behind it there may be a cache on disk, of tokens only: it serves other upsamplers too.
    """

    def __init__(
        self,
        encoder: Encoder,
        upsampler: Upsampler,
        device: torch.device,
        memory_mib: int = 2048,
        watch: Watch = unwatched,
        cached: CachedEncoder | None = None,
        pace: Pace = EXACT,
    ) -> None:
        self.encoder = encoder.to(device)
        self.upsampler = upsampler.to(device)
        self.upsampler.precision = pace.upsampler
        self.device = device
        self.watch = watch
        self.cached = cached
        self.pace = pace
        self._room = memory_mib << 20
        self._memory: dict[object, PixelFeatures] = {}

    def __call__(self, chips: Sequence[Chip], *, remember: bool = True) -> PixelFeatures:
        """Features of chips of one size, on (B, H', W') pixels padded at the far edges."""
        key = _key(chips)
        if key in self._memory:
            return self._memory[key]
        image = self.pad(torch.stack([chip.image for chip in chips]).to(self.device))
        with self.watch("encode"):
            tokens = (self.cached or self.encoder)(image)
        with self.watch("upsample"):
            features = PixelFeatures.of(tokens, self._operator(image, tokens))
        if remember:
            self.keep(chips, features)
        return features

    def keep(self, chips: Sequence[Chip], features: PixelFeatures) -> None:
        """Remember the features of chips, if there is room."""
        key, size = _key(chips), _bytes(features)
        if size <= self._room and key not in self._memory:
            self._room -= size
            self._memory[key] = features

    def _operator(self, image: Tensor, tokens: Tensor) -> PixelOperator:
        """The upsampler's operator; where it sees a smaller image, carried to the pixels."""
        size, guide = (image.shape[2], image.shape[3]), self.pace.guide
        grid = (tokens.shape[2], tokens.shape[3])  # at least a pixel a token
        small = (max(size[0] // guide, grid[0]), max(size[1] // guide, grid[1]))
        seen = image if small == size else F.adaptive_avg_pool2d(image, small)
        operator: PixelOperator = self.upsampler(seen, tokens)
        return operator if small == size else EnlargedOperator(operator, size)

    @property
    def weights(self) -> dict[str, dict[str, str] | None]:
        """Name and SHA-256 of the weights of both; None: has none."""
        return {"backbone": self.encoder.weights, "upsampler": self.upsampler.weights}

    def cache_facts(self) -> dict[str, object] | None:
        """What a record says of the cache on disk; None without one."""
        return self.cached.cache.facts() if self.cached else None

    def forget(self) -> None:
        """Give up the memory of features."""
        self._memory.clear()
        self._room = 0

    def pad(self, image: Tensor) -> Tensor:
        """Repeat the far edges of (B, bands, H, W) up to whole tokens."""
        add = [
            max(_FEWEST_TOKENS, -(-side // self.encoder.stride)) * self.encoder.stride - side
            for side in image.shape[2:]
        ]
        return F.pad(image, (0, add[1], 0, add[0]), mode="replicate") if any(add) else image


def build_extractor(parts: MethodParts, runtime: Runtime) -> FeatureExtractor:
    """Build encoder and upsampler.

    Raises:
        WeightsError: weights are absent, damaged or of another architecture.
    """
    backbone, upsampler = parts.backbone, parts.upsampler
    assert backbone is not None and upsampler is not None, "groups that a method uses are there"
    encoder = backbone.build(runtime.weights_folder)
    pace = pace_of(parts, runtime.device, compiled=runtime.compiled)
    if pace.note:
        logger.warning("speed=fast: %s", pace.note)
    cache = runtime.cache.open()
    encoder = paced(encoder, pace, compiles=runtime.compiled)
    cached = None if cache is None else CachedEncoder(encoder, values_of(backbone), cache)
    return FeatureExtractor(
        encoder,
        upsampler.build(runtime.weights_folder),
        runtime.device,
        runtime.memory_mib,
        runtime.watch,
        cached,
        pace,
    )


def paced(encoder: Encoder, pace: Pace, *, compiles: bool) -> Encoder:
    """Let an encoder compute at a pace, in place, and return it.

    Args:
        encoder: with its weights.
        pace: which numbers it multiplies.
        compiles: let torch compile it.
    """
    encoder.reduce(pace.linear, pace.encoder)
    if compiles:
        encoder.eager = False
        encoder.encode = compiled(encoder.encode)  # type: ignore[assignment,method-assign]
    return encoder


def compiled(encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Let torch compile an encoder at its first image of each size.

    Raises:
        ConfigError: when it is called: torch can't compile here.
    """
    from torch._dynamo.exc import TorchDynamoException  # seconds, which others need not wait

    fast = torch.compile(encode, dynamic=False)

    def called(image: Tensor) -> Tensor:
        try:
            return fast(image)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"compute.compile=true, but torch can't compile the encoder here ({reason}): leave "
                "it off, or install a C++ compiler that torch supports."
            ) from error

    return called


def batches(chips: Iterable[Chip], most: int) -> Iterator[list[Chip]]:
    """Yield neighbouring chips of one size together, at most ``most`` at a time."""
    batch: list[Chip] = []
    for chip in chips:
        if batch and (len(batch) == most or chip.image.shape != batch[0].image.shape):
            yield batch
            batch = []
        batch.append(chip)
    if batch:
        yield batch


def _key(chips: Sequence[Chip]) -> object:
    return tuple((chip.scene, chip.window) for chip in chips)


def _bytes(features: PixelFeatures) -> int:
    return features.tokens.nbytes + features.operator.nbytes
