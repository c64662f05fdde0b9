"""What commands find of rasters before they map them, and how findings are shown."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mapsr.cli.console import note, say
from mapsr.errors import ConfigError
from mapsr.findings import Finding
from mapsr.paths import is_there
from mapsr.remote import is_remote

if TYPE_CHECKING:
    from mapsr.region.images import Images
    from mapsr.region.settings import MapSettings


def show(findings: Sequence[Finding], bad: str, good: str) -> int:
    """Print findings, remedies and the verdict; return 1 if anything is to be fixed, else 0."""
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        say(f"{finding.topic.ljust(width)}  {finding.text}")
    remedies = [finding for finding in findings if finding.remedy]
    for finding in remedies:
        note(f"to fix {finding.topic}: {finding.remedy}")
    say()
    say(bad if remedies else good)
    return 1 if remedies else 0


def examine_images(words: Sequence[str], *, timing: bool) -> Iterator[Finding]:
    """Yield what is found of an image and its coarse product.

    Args:
        words: IMAGE, COARSE and key=value, as they were given.
        timing: score a chip.

    Raises:
        MapsrError: the settings are wrong, or no image is found.
    """
    begin = time.perf_counter()
    from mapsr.cli.compose import compose_map
    from mapsr.doctor.rasters import examine as examine_rasters
    from mapsr.region.maps import given_method

    overrides = as_overrides(words)
    if not any(one.startswith("out=") for one in overrides):
        overrides.append("out=map.tif")  # nothing is written
    settings = compose_map(overrides)
    start = time.perf_counter() - begin  # `mapsr map` imports and composes the same
    images = images_of(settings)
    fitted = given_method(settings) if settings.fitted else None
    yield from examine_rasters(images, settings, fitted, timing=timing, start_seconds=start)


def images_of(settings: "MapSettings") -> "Images":
    """Find the images of settings, none of which are maps that are made."""
    from mapsr.region import find_images

    return find_images(
        settings.image,
        settings.coarse,
        image_asset=settings.image_asset,
        coarse_asset=settings.coarse_asset,
    )


def as_overrides(words: Sequence[str]) -> list[str]:
    """Turn IMAGE and COARSE into image= and coarse=.

    Raises:
        ConfigError: there are more files.
    """
    overrides = [
        word
        for word in words
        if re.match(r"[+~]*[\w./@]+=", word) and not is_remote(word) and not is_there(Path(word))
    ]
    paths = [word for word in words if word not in overrides]
    if len(paths) > 2:
        raise ConfigError(
            f"Got {len(paths)} files, expected IMAGE and COARSE: put quotes around a pattern "
            "('tiles/*.tif'), so that it arrives whole, or list the images in a CSV file."
        )
    return [f"{key}={path}" for key, path in zip(("image", "coarse"), paths, strict=False)] + (
        overrides
    )
