"""A mirror of a run for TensorBoard."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from numpy.typing import NDArray

from mapsr.extras import require_extra
from mapsr.settings import choice
from mapsr.tracking.logger import flatten

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


@choice("logger", "tensorboard")
@dataclass(frozen=True)
class TensorboardSettings:
    """Files for TensorBoard below the run folder; needs mapsr[tensorboard]."""

    def open(
        self, folder: Path, name: str, config: Mapping[str, object]
    ) -> AbstractContextManager["TensorboardLogger"]:
        """Open the files; see ``open_tensorboard``."""
        return open_tensorboard(folder, name, config)


class TensorboardLogger:
    """Copies to files that TensorBoard reads.

    The files of a training that is resumed tell TensorBoard to forget what an earlier attempt
    wrote from the first step onwards.
    """

    def __init__(self, folder: Path, name: str, config: Mapping[str, object]) -> None:
        self._folder = folder
        self._name = name
        self._config = config
        self._writer: SummaryWriter | None = None

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers of a training over its steps."""
        writer = self._open(step)
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def metrics(self, metrics: Mapping[str, object]) -> None:
        """Show numbers; nested mappings are joined by "/", what is not a number is left out."""
        for name, value in flatten(metrics).items():
            self._open().add_scalar(name, value, 0)

    def picture(self, name: str, path: Path) -> None:
        """Show a picture file."""
        from PIL import Image

        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))  # (H, W, 3)
        self._open().add_image(name, pixels, 0, dataformats="HWC")

    def confusion(self, counts: NDArray[np.int64], names: Sequence[str]) -> None:
        """Show confusion counts as a table with a line for each true class."""
        lines = ["|".join(("truth", *names, "nodata")), "|".join(["---"] * (len(names) + 2))]
        for truth, row in zip(names, counts.tolist(), strict=True):
            lines.append("|".join((truth, *map(str, row))))
        self._open().add_text("confusion", "\n".join(lines), 0)

    def close(self) -> None:
        """Write what is left and close the files."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, step: int | None = None) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step)
            text = yaml.safe_dump(dict(self._config), sort_keys=False)
            # four spaces make it code in Markdown
            code = "".join(f"    {line}\n" for line in text.splitlines())
            self._writer.add_text("config", f"{self._name}\n\n{code}", 0)
        return self._writer


@contextmanager
def open_tensorboard(
    folder: Path, name: str, config: Mapping[str, object]
) -> Iterator[TensorboardLogger]:
    """Open files for TensorBoard, and close them whatever happens.

    Args:
        folder: the run folder; the files go below it.
        name: what the run is called.
        config: the resolved configuration.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    require_extra("tensorboard", "logger=tensorboard", "choose logger=csv")
    logger = TensorboardLogger(folder / FOLDER, name, config)
    try:
        yield logger
    finally:
        logger.close()
