import pytest
import torch
from stand_ins import normal

from mapsr.errors import ConfigError, FittedError
from mapsr.methods import ComputeSettings, Runtime, State
from mapsr.methods.prompt_state import prior_of, probe_of
from mapsr.methods.said import image_of
from mapsr.prompts import ProductPriorSettings

PRIOR = {
    "prior.shares": torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.0, 0.0]]).double(),
    "prior.area": torch.tensor([0.6, 0.4]).double(),
}
PROBE = {"probe.weight": normal(60, 3, 4), "probe.bias": normal(61, 3)}
SAID = {"probe": {"table": [0, 1, 255], "scale": 0.5}}


def changed(tensors, name, change):
    return tensors | {name: change(tensors[name].clone())}


def test_a_prior_comes_back():
    found = prior_of(State(PRIOR), 2, ProductPriorSettings())
    assert torch.equal(found.shares, PRIOR["prior.shares"])
    assert torch.equal(found.area, PRIOR["prior.area"])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("prior.shares", lambda one: one - 0.5),
        ("prior.area", lambda one: one - 0.5),
        ("prior.area", torch.zeros_like),
        ("prior.shares", lambda one: one.fill_(torch.nan)),
        ("prior.area", lambda one: one.fill_(torch.inf)),
        ("prior.shares", lambda one: one[:, :1]),
        ("prior.area", lambda one: one[:1]),
        ("prior.shares", lambda one: one[0]),
        ("prior.shares", torch.Tensor.long),
    ],
)
def test_shares_that_are_not_whole_are_refused(name, change):
    state = State(changed(PRIOR, name, change))
    with pytest.raises(FittedError, match="shares of the file are not whole"):
        prior_of(state, 2, ProductPriorSettings())


def test_a_probe_comes_back():
    assert probe_of(State({}), 2) is None
    probe = probe_of(State(PROBE, SAID), 2)
    assert torch.equal(probe.weight, PROBE["probe.weight"])
    assert torch.equal(probe.bias, PROBE["probe.bias"])
    plain = probe_of(State({"probe.weight": PROBE["probe.weight"]}, SAID), 2)
    assert plain.bias is None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("probe.weight", lambda one: one[0]),
        ("probe.weight", lambda one: one[None]),
        ("probe.weight", lambda one: one[:2]),
        ("probe.weight", torch.Tensor.double),
        ("probe.weight", lambda one: one.fill_(torch.nan)),
        ("probe.bias", lambda one: one[:2]),
        ("probe.bias", lambda one: one.fill_(torch.inf)),
    ],
)
def test_a_probe_that_is_not_whole_is_refused(name, change):
    with pytest.raises(FittedError, match="probe of the file is not whole"):
        probe_of(State(changed(PROBE, name, change), SAID), 2)


@pytest.mark.parametrize(
    "said", [{}, {"probe": 3}, {"probe": {"table": [0, 1, 7], "scale": 0.5}}, {"probe": {}}]
)
def test_what_is_said_of_a_probe_is_checked(said):
    with pytest.raises(FittedError, match="probe of the file is not whole"):
        probe_of(State(PROBE, said), 2)


def test_images_of_one_band_are_taken_and_of_none_refused():
    said = {"scale": 255.0, "bands": 1, "dtype": "uint8"}
    assert image_of(said).bands == 1
    with pytest.raises(ValueError, match="bands"):
        image_of(said | {"bands": 0})


def test_the_cpu_is_always_there_and_a_gpu_is_looked_for(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert ComputeSettings(device="cpu").find() == torch.device("cpu")
        assert ComputeSettings().find() == torch.device("cuda" if there else "cpu")
    with pytest.raises(ConfigError, match="torch finds no CUDA device"):
        ComputeSettings(device="cuda").find()
    assert Runtime(torch.device("cpu")).memory_mib == 0
