"""An encoder behind a cache of tokens."""

import logging
from collections.abc import Mapping
from importlib import metadata

import torch
from torch import Tensor

from mapsr.features.cache import TokenCache, TokenKey
from mapsr.features.encoder import Encoder
from mapsr.features.reduced import ROUNDING

logger = logging.getLogger(__name__)

# Settings that say where the weights are; their hash says which they are.
_PLACES = ("weights", "checkpoint", "accept_licence")


class CachedEncoder:
    """An encoder that computes only the tokens that are not in a cache.

    Each image of a batch has its own entry, so that batches may be composed differently. The key
    holds all that can change the last bit of a token: settings, weights, device, on the CPU the
    number of threads, and the versions of torch and timm. The batch size is not part of it, even
    where it changes the last bit.

    An encoder with parameters but without a hash of its weights is not cached, since its tokens
    can't be identified.

    Args:
        encoder: on its device.
        settings: that it was built from, serialisable as JSON.
        cache: to read from and write to.
    """

    def __init__(self, encoder: Encoder, settings: Mapping[str, object], cache: TokenCache) -> None:
        self.encoder = encoder
        self.cache = cache
        self._known = encoder.weights is not None or next(encoder.parameters(), None) is None
        if not self._known:
            logger.warning("tokens are not cached: the weights of the encoder have no hash")
        self._facts: dict[str, object] = {
            "class": type(encoder).__name__,
            "settings": {key: value for key, value in settings.items() if key not in _PLACES},
            "weights": encoder.weights and encoder.weights["sha256"],
            "versions": {name: metadata.version(name) for name in encoder.libraries},
        }
        if encoder.products != "float32":
            self._facts |= {"products": encoder.products, "rounding": ROUNDING}

    def __call__(self, image: Tensor) -> Tensor:
        """Encode images; see ``Encoder.forward``."""
        if not self._known:
            tokens: Tensor = self.encoder(image)
            return tokens
        facts = self._facts | {"device": _device_facts(image.device)}
        pixels = image.cpu()
        keys = [TokenKey.of(one, facts) for one in pixels]
        found = [self.cache.get(key) for key in keys]
        missing = [part for part, tokens in enumerate(found) if tokens is None]
        if not missing:
            return torch.stack([one for one in found if one is not None]).to(image.device)
        whole = len(missing) == len(keys)
        # always contiguous: sums over another memory layout can differ in the last bit
        fresh: Tensor = self.encoder(image if whole else image[missing]).contiguous()
        for part, tokens in zip(missing, fresh, strict=True):
            self.cache.put(keys[part], tokens)
        if whole:
            return fresh
        computed = dict(zip(missing, fresh, strict=True))
        parts = [computed[part] if old is None else old for part, old in enumerate(found)]
        return torch.stack([one.to(image.device) for one in parts])


def _device_facts(device: torch.device) -> dict[str, object]:
    if device.type == "cuda":
        kind, threads = torch.cuda.get_device_name(device), None
    else:
        kind, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    precision = torch.get_float32_matmul_precision()
    return {"type": device.type, "kind": kind, "threads": threads, "precision": precision}
