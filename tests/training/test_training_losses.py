from dataclasses import dataclass

import pytest
import torch
from stand_ins import normal

from mapsr.errors import ConfigError
from mapsr.networks import SegmentationNetwork, UNetFormerSettings
from mapsr.networks.losses import cross_entropy, plat_loss, unetformer_loss
from mapsr.training import TrainingSettings
from mapsr.training.losses import LOSSES, LossContext, check_loss, loss

LABELS = torch.tensor([[[0, 1, 255], [2, 2, 0]]])


class TwoViews(SegmentationNetwork):
    """A network of another file: two extra outputs, in an order that is not Paraformer's."""

    extra_logits = ("vit", "cnn")

    def logits(self, image):
        return [image, 2 * image, -image]


def logits(*names):
    return {name: normal(number, 1, 3, 2, 3) for number, name in enumerate(names)}


def context(**values):
    return LossContext(TrainingSettings(**values), 0.0, released=False)


def test_plat_takes_the_branches_of_any_network_by_their_names():
    check_loss("plat", TwoViews(3, 3, "naip"))
    given = logits("map", *TwoViews.extra_logits)
    ours = LOSSES["plat"].compute(given, LABELS, context())
    torch.testing.assert_close(ours, plat_loss(given["cnn"], given["vit"], LABELS))


def test_a_network_without_the_branches_is_refused_with_what_it_gives():
    network = UNetFormerSettings(pretrained=False).build(3, 3)
    message = "needs the logits cnn and vit, but UNetFormer gives only map, auxiliary: .*Paraformer"
    with pytest.raises(ConfigError, match=message):
        check_loss("plat", network)
    check_loss("unetformer", network)


def test_unetformers_loss_takes_whatever_follows_the_map():
    given = logits("map", "one", "two")
    expected = unetformer_loss(tuple(given.values()), LABELS)
    torch.testing.assert_close(LOSSES["unetformer"].compute(given, LABELS, context()), expected)


def test_a_loss_of_another_file_brings_its_own_settings(monkeypatch):
    monkeypatch.setitem(LOSSES, "scaled", None)  # so that the test leaves no loss behind

    @dataclass(frozen=True)
    class Scaled(TrainingSettings):
        factor: float = 3.0

    @loss("scaled")
    def scaled(given, labels, at):
        return at.settings.factor * cross_entropy(given["map"], labels)

    given = logits("map")
    found = LOSSES["scaled"].compute(given, LABELS, LossContext(Scaled(loss="scaled"), 0.0, False))
    torch.testing.assert_close(found, 3 * cross_entropy(given["map"], LABELS))
