"""Checkpoints of one's own, in the shapes that trainings leave them in."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file
from stand_ins import uniform

from mapsr.contents import contents_of
from mapsr.errors import WeightsError
from mapsr.features import TimmEncoder, TimmSettings, ViTSettings
from mapsr.features.loading import load_whole

SMALL = "test_vit"


@pytest.fixture(scope="module")
def trained():
    """An encoder whose weights are to be found again in a file."""
    return TimmEncoder(TimmSettings(model=SMALL, seed=7))


def under(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def plain(state):
    return state


def a_classifier(state):
    return state | {"head.weight": torch.zeros(7, 64), "head.bias": torch.zeros(7)}


def a_training(state):
    return {"epoch": 3, "model": under("module.", state), "optimizer": {"lr": [0.1]}}


def lightning(state):
    body = under("encoder.backbone.", state)
    return {"state_dict": body | {"loss.weight": torch.ones(2)}, "global_step": 5}


def distillation(state):
    body = under("module.backbone.", state) | {"module.dino_head.last.weight": torch.ones(3, 2)}
    return {"teacher": body, "iteration": 9}


def masked(state):
    return state | {"mask_token": torch.zeros(1, 1, 64), "decoder_pred.weight": torch.zeros(2, 2)}


@pytest.mark.parametrize("kind", [TimmSettings, ViTSettings])
@pytest.mark.parametrize(
    "shape", [plain, a_classifier, a_training, lightning, distillation, masked]
)
def test_a_checkpoint_of_ones_own_is_read_and_called_by_its_own_name(
    tmp_path, trained, kind, shape
):
    path = tmp_path / "mine.pth"
    torch.save(shape(dict(trained.model.state_dict())), path)
    loaded = kind(model=SMALL, checkpoint=str(path)).build()
    image = uniform(1, 1, 3, 32, 48)
    assert torch.equal(loaded(image), trained(image))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.weights == {"name": "mine.pth", "sha256": digest}


def test_safetensors_are_read_and_count_by_their_content(tmp_path, trained):
    path = tmp_path / "mine.safetensors"
    state = {k: v.contiguous() for k, v in trained.model.state_dict().items()}
    save_file(under("backbone.", state), path)
    settings = TimmSettings(model=SMALL, checkpoint=str(path))
    image = uniform(2, 1, 3, 32, 48)
    assert torch.equal(settings.build()(image), trained(image))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert contents_of(settings)["checkpoint"] == digest
    assert "accept_licence" not in contents_of(settings)


def test_weights_that_follow_from_the_model_count_by_their_content(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = TimmSettings(model="convnext_nano.d1h_in1k")
    file = tmp_path / "convnext_nano.d1h_in1k.safetensors"
    for content in (b"one", b"two"):
        file.write_bytes(content)
        found = contents_of(settings, str(tmp_path))
        assert found["weights_sha256"] == hashlib.sha256(content).hexdigest()
    random = TimmSettings(model="convnext_nano.d1h_in1k", pretrained=False)
    assert "weights_sha256" not in contents_of(random, str(tmp_path))


def without(name):
    return lambda state: {k: v for k, v in state.items() if k != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("cls_token"), r"1 entry is missing \(cls_token\)"),
        (lambda s: s | {"zebra": torch.ones(1)}, r"1 entry is not the model's \(zebra\)"),
        (
            lambda s: s | {"norm.bias": torch.ones(32)},
            r"1 entry is of another shape \(norm.bias \(32,\), expected \(64,\)\)",
        ),
        (
            lambda s: {k: v for k, v in s.items() if "attn" not in k} | {"a.b": torch.ones(1)},
            r"\d+ entries are missing \(blocks.0.attn\S+, \S+, \S+, \.\.\.\); 1 entry is not .*a.b",
        ),
        (
            lambda s: under("backbone.", without("norm.weight")(s)),
            r"1 entry is missing \(norm.weight\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_in_one_sentence(trained, change, said):
    state = change(dict(trained.model.state_dict()))
    with pytest.raises(WeightsError, match=f"^here.pth is not a checkpoint of test_vit: {said}"):
        trained.load(state, "here.pth")


def test_a_file_that_holds_the_model_twice_is_refused(trained):
    state = dict(trained.model.state_dict())
    twice = under("student.backbone.", state) | under("teacher.backbone.", state)
    with pytest.raises(WeightsError, match=r"2 times \(under 'student.backbone.' and 'teacher."):
        trained.load(twice, "here.pth")


def test_names_of_the_models_authors_are_read():
    settings = {"model": "vit_tiny_patch16_dinov3_qkvb", "pretrained": False}
    ours = TimmSettings(**settings).build()
    names = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    state = {"rope_embed.periods": torch.ones(16), "mask_token": torch.zeros(1, 192)}
    for name, tensor in ours.model.state_dict().items():
        for timms, theirs in names.items():
            name = name.replace(timms, theirs)
        state[name] = tensor
    assert "storage_tokens" in state and "blocks.0.ls1.gamma" in state
    other = TimmSettings(**settings, seed=1).build()
    other.load(state, "here.pth")
    image = uniform(3, 1, 3, 32, 48)
    assert torch.equal(other(image), ours(image))


def test_nothing_is_loaded_of_what_does_not_fit():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    state = {k: torch.ones_like(v) for k, v in before.items()} | {"1.bias": torch.ones(5)}
    with pytest.raises(WeightsError, match=r"x is not a checkpoint of it: 1 entry is of another"):
        load_whole(module, state, "it", "x")
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
