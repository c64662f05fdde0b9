"""A trained network as a file: its weights, its settings, and what its outputs stand for."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mapsr.errors import MapsrError, WeightsError
from mapsr.files import whole_file
from mapsr.legends import NODATA
from mapsr.networks import NetworkSettings, SegmentationNetwork
from mapsr.settings import kind_of, settings_class

FILE = "network.safetensors"
_FORMAT = "1"
# What a network starts from is no part of what it is.
_START = {"weights", "checkpoint", "pretrained"}


@dataclass(frozen=True)
class Outputs:
    """What the outputs of a network stand for.

    Attributes:
        learned: for each class of the labels the output that it is learned as, 255 for none.
        targets: for each output the index of its target class, 255 for none.
        classes: names of the target classes.
    """

    learned: tuple[int, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities of the target classes.

        Args:
            logits: (B, outputs, H, W).

        Returns:
            (B, C, H, W) float32: of each class the largest among the outputs that stand for it, so
            that the class of the largest is the most probable output's; outputs that stand for
            none are left aside, and a class that no output stands for has -inf.
        """
        logits = logits.float()
        aside = torch.tensor([target == NODATA for target in self.targets], device=logits.device)
        probabilities = logits.masked_fill(aside.view(1, -1, 1, 1), -torch.inf).softmax(1)
        batch, _, height, width = logits.shape
        scores = logits.new_full((batch, len(self.classes), height, width), -torch.inf)
        for output, target in enumerate(self.targets):
            if target != NODATA:
                scores[:, target] = torch.maximum(scores[:, target], probabilities[:, output])
        return scores


def architecture_of(settings: NetworkSettings) -> dict[str, object]:
    """The settings that make a network what it is, by key, with its kind."""
    values = dataclasses.asdict(settings)  # type: ignore[call-overload]
    kept = {key: value for key, value in values.items() if key not in _START}
    return {"kind": kind_of(settings)} | kept


def save_network(
    path: Path, network: SegmentationNetwork, settings: NetworkSettings, outputs: Outputs
) -> None:
    """Write a trained network, whole or not at all."""
    from safetensors.torch import save_file

    meta = {
        "format": _FORMAT,
        "network": json.dumps(architecture_of(settings)),
        "bands": str(network.bands),
        "outputs": json.dumps(dataclasses.asdict(outputs)),
    }
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    with whole_file(path) as temporary:
        save_file(state, temporary, meta)


def load_network(
    path: Path, settings: NetworkSettings | None = None
) -> tuple[SegmentationNetwork, Outputs]:
    """Read a trained network, ready for use on the CPU.

    Args:
        path: a file of ``save_network``.
        settings: of the network that is expected; None takes any.

    Raises:
        WeightsError: the file can't be read, is of another version, or holds another network.
    """
    meta, state = _read(path)
    try:
        described = json.loads(meta["network"])
        bands = int(meta["bands"])
        listed = json.loads(meta["outputs"])
        outputs = Outputs(*(tuple(listed[f.name]) for f in dataclasses.fields(Outputs)))
        found = _settings(described)
        network = found.build(bands, len(outputs.targets))
    except (KeyError, TypeError, ValueError, MapsrError) as error:
        raise WeightsError(
            f"{path} can't be used: what it says of its network is not whole ({error}). It is "
            "damaged, or of another version of mapsr."
        ) from error
    if settings is not None:
        _expect(path, architecture_of(settings), architecture_of(found))
    own = {key: value.shape for key, value in network.state_dict().items()}
    wrong = sorted(own.keys() ^ state.keys()) or [k for k in own if own[k] != state[k].shape]
    if wrong:
        raise WeightsError(
            f"{path} is damaged: {len(wrong)} entries are not those of its network, the first is "
            f"'{wrong[0]}'. Train it again."
        )
    network.load_state_dict(state)
    return network.requires_grad_(False).eval(), outputs


def _read(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"can't read the network {path} ({error}); expected {FILE} of a run folder."
        ) from error
    if meta.get("format") != _FORMAT:
        raise WeightsError(
            f"{path} has format {meta.get('format')}, expected {_FORMAT}: it is no trained network "
            "of this version of mapsr."
        )
    return meta, state


def _settings(described: dict[str, Any]) -> NetworkSettings:
    """The settings of a file's network, which needs no weights to start from."""
    values = dict(described)
    cls = settings_class("network", values.pop("kind"))
    if "pretrained" in {field.name for field in dataclasses.fields(cls)}:
        values["pretrained"] = False
    settings: NetworkSettings = cls(**values)
    return settings


def _expect(path: Path, expected: dict[str, object], found: dict[str, object]) -> None:
    for key in expected | found:
        if expected.get(key) != found.get(key):
            raise WeightsError(
                f"{path} is a checkpoint of another network: network.{key} is {found.get(key)}, "
                f"expected {expected.get(key)}. Choose the network that it belongs to."
            )
