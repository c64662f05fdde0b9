"""What all networks have in common, tested for each of them."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from stand_ins import uniform

from mapsr import weights
from mapsr.cli.compose import compose_run, conf_folder
from mapsr.errors import ConfigError, WeightsError
from mapsr.networks import (
    EfficientViMSettings,
    EfficientViTSettings,
    L2HNetSettings,
    ParaformerSettings,
    SmpSettings,
    UNetFormerSettings,
)
from mapsr.settings import CHOICES

# Exact counts of the authors' code, which MapSR's Table I prints in millions: bands, outputs,
# parameters, millions as printed.
PRESETS = {
    "paraformer": (4, 17, 145_401_693, "145.4"),
    "l2hnet": (4, 17, 36_922_545, "36.92"),
    "efficientvit": (3, 5, 51_313_829, "51.31"),
    "efficientvim": (3, 5, 21_697_162, "21.70"),
    "unetformer": (3, 5, 11_724_766, "11.72"),
    "l2hnet_original": (4, 17, 1_118_129, "1.118"),  # not in the table
}
# Exact counts of variants: settings, bands, outputs, parameters.
VARIANTS = {
    "Paraformer, RGB": (ParaformerSettings(pretrained=False), 3, 17, 145_400_541),
    "Paraformer, 5 classes": (ParaformerSettings(pretrained=False), 4, 5, 145_360_089),
    "Paraformer, light": (ParaformerSettings(width=64, pretrained=False), 4, 17, 142_714_253),
    "Paraformer, 448 px": (ParaformerSettings(image=448, pretrained=False), 4, 17, 145_853_277),
    "L2HNet, light": (L2HNetSettings(variant="original", width=64), 4, 17, 282_593),
    "EfficientViT, 6 classes": (EfficientViTSettings(pretrained=False), 3, 6, 51_314_854),
    "EfficientViM, 17 classes": (EfficientViMSettings(pretrained=False), 3, 17, 21_698_710),
    "UNetFormer, 6 classes": (UNetFormerSettings(pretrained=False), 3, 6, 11_724_894),
    "UNetFormer, one head": (
        UNetFormerSettings(auxiliary=False, pretrained=False),
        *(3, 5, 11_724_766 - 37_312),
    ),
}
# Settings and how many outputs there are in training and otherwise; smaller where a field allows.
SMALL = {
    "paraformer": (ParaformerSettings(width=8, encoder="test_vit", pretrained=False), 3, 3),
    "l2hnet": (L2HNetSettings(width=8), 1, 1),
    "l2hnet original": (L2HNetSettings(variant="original", width=8), 1, 1),
    "efficientvit": (EfficientViTSettings(encoder="efficientvit_b0", pretrained=False), 1, 1),
    "efficientvim": (EfficientViMSettings(encoder="efficientvim_m1", pretrained=False), 1, 1),
    "unetformer": (UNetFormerSettings(encoder="test_resnet", pretrained=False), 2, 1),
}
BANDS, CLASSES = 3, 5


@pytest.fixture(scope="module", params=SMALL)
def case(request):
    settings, training, mapping = SMALL[request.param]
    return settings, settings.build(BANDS, CLASSES, seed=1), training, mapping


def sides(network):
    """Different and not multiples of the stride: 2 and 3 of its cells when padded."""
    stride = max(16, network.stride)
    return 2 * stride - 3, 2 * stride + 1


def lively(network):
    """Give norms statistics and weights that no fresh network has, so that nothing is hidden."""
    numbers = torch.Generator().manual_seed(0)
    for name, values in (*network.named_parameters(), *network.named_buffers()):
        if values.dim() == 1 and values.is_floating_point():
            with torch.no_grad():
                spread = 0.2 * torch.rand(values.shape, generator=numbers)
                values.add_(spread if "mean" in name or "bias" in name else spread + 0.1)
    return network


def test_every_choice_of_the_group_is_tested():
    kinds = {type(settings) for settings, *_ in SMALL.values()} | {SmpSettings}  # test_smp.py
    assert kinds == set(CHOICES["network"].values())


def test_every_preset_has_a_published_count():
    # those of EcoVision, in test_smp.py, have no published count
    names = {path.stem for path in (conf_folder() / "network").glob("*.yaml")}
    assert names == PRESETS.keys() | {
        *("unet", "hrnet", "pspnet", "deeplabv3plus", "vit", "swin", "segformer", "unet_small")
    }


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_published_parameters_and_statistics(name):
    bands, classes, count, printed = PRESETS[name]
    settings = compose_run(["method=unetformer", f"network={name}"]).network
    if not name.startswith("l2hnet"):  # which has no pretrained weights
        assert settings.pretrained
        settings = dataclasses.replace(settings, pretrained=False)
    with torch.device("meta"):
        assert settings.build(bands, classes).trainable_parameters == count
    assert f"{count / 1e6:.{len(printed.partition('.')[2])}f}" == printed
    paraformers = name.startswith(("paraformer", "l2hnet"))
    assert settings.statistics == ("naip" if paraformers else "imagenet")


def test_variants_have_the_parameters_of_the_authors_code():
    with torch.device("meta"):
        for name, (settings, bands, classes, count) in VARIANTS.items():
            assert settings.build(bands, classes).trainable_parameters == count, name


def test_logits_have_the_size_of_any_image(case):
    _, network, _, mapping = case
    network.eval()
    for size in ((70, 45), (1, 1), (5, 100)):
        with torch.no_grad():
            outputs = network(uniform(1, 1, BANDS, *size))
        assert len(outputs) == mapping
        for logits in outputs:
            assert logits.shape == (1, CLASSES, *size)
            assert logits.isfinite().all()


def test_outputs_in_training_are_the_map_and_what_the_network_says(case):
    _, network, training, _ = case
    height, width = sides(network)
    outputs = network.train()(uniform(2, 2, BANDS, height, width))
    assert [tuple(logits.shape) for logits in outputs] == training * [(2, CLASSES, height, width)]
    assert 1 + len(network.extra_logits) == training


def test_the_gradient_reaches_all_that_is_trained(case):
    settings, network, *_ = case
    network.train().zero_grad()
    outputs = network(uniform(3, 2, BANDS, *sides(network)))
    sum(logits.square().mean() for logits in outputs).backward()
    missed = {name for name, p in network.named_parameters() if p.grad is None}
    unused = {name for name, _ in network.named_parameters() if name.startswith("unused.")}
    assert missed == unused
    assert bool(unused) == (settings == L2HNetSettings(width=8))
    for name, parameter in network.named_parameters():
        assert name in unused or parameter.grad.isfinite().all(), name
    heads = [p for n, p in network.named_parameters() if n.startswith(("head", "cnn", "vit"))]
    assert heads
    assert all(parameter.grad.any() for parameter in heads)


def test_a_seed_decides_the_start_and_leaves_the_global_state(case):
    settings, network, *_ = case
    before = torch.get_rng_state()
    again, other = settings.build(BANDS, CLASSES, seed=1), settings.build(BANDS, CLASSES, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    parameters = [dict(one.named_parameters()) for one in (network, again, other)]
    assert all(torch.equal(values, parameters[1][name]) for name, values in parameters[0].items())
    drawn = [name for name, values in parameters[0].items() if values.dim() > 3]
    drawn = [name for name in drawn if "positions" not in name]
    assert drawn
    assert not any(torch.equal(parameters[0][name], parameters[2][name]) for name in drawn)
    assert network.weights is None


def test_a_batch_of_two_equals_one_by_one(case):
    _, network, *_ = case
    lively(network).eval()
    image = uniform(4, 2, BANDS, *sides(network))
    with torch.no_grad():
        both = network(image)[0]
        for part in range(2):
            alone = network(image[part : part + 1])[0]
            torch.testing.assert_close(both[part : part + 1], alone, rtol=1e-3, atol=1e-4)


def test_every_corner_of_the_map_follows_the_image(case):
    # rows and columns exchanged somewhere would move a change to another place
    _, network, *_ = case
    lively(network).eval()
    side = max(16, network.stride)
    corners = [(0, 0), (0, 2 * side), (side, 0), (side, 2 * side)]
    parts = [(slice(top, top + side), slice(left, left + side)) for top, left in corners]
    images = uniform(5, 1, BANDS, 2 * side, 3 * side).repeat(5, 1, 1, 1)  # the last is unchanged
    for image, part in zip(images, parts, strict=False):
        image[:, *part] = 0
    with torch.no_grad():
        logits = network(images)[0]
    changes = (logits[:4] - logits[4]).abs().sum(1)  # (4, H, W)
    for change, part in zip(changes, parts, strict=True):
        inside = float(change[part].mean())
        change[part] = 0
        assert inside > change.mean()


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """One entry, which is not on this machine."""
    for name in ("MAPSR_WEIGHTS", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    one = weights.Weights(
        "somewhere", "somewhere.safetensors", "https://x.org/a", None, None, "MIT", "x.org", 1
    )
    monkeypatch.setitem(weights.REGISTRY, "somewhere", one)


PRETRAINED = [
    (ParaformerSettings, {"width": 8, "encoder": "test_vit"}),
    (EfficientViTSettings, {"encoder": "efficientvit_b0"}),
    (EfficientViMSettings, {"encoder": "efficientvim_m1"}),
    (UNetFormerSettings, {"encoder": "test_resnet"}),
]


@pytest.mark.parametrize(("cls", "values"), PRETRAINED)
def test_absent_weights_are_an_error_and_never_a_random_start(registry, cls, values):
    assert cls().pretrained
    with pytest.raises(WeightsError, match="the weights somewhere are not on this machine"):
        cls(**values, weights="somewhere").build(BANDS, CLASSES)


@pytest.mark.parametrize(("cls", "values"), PRETRAINED)
def test_an_encoder_starts_from_a_file_with_its_classifier(registry, tmp_path, cls, values):
    import timm

    path = tmp_path / "trained.safetensors"
    whole = lively(timm.create_model(cls(**values).encoder, pretrained=False, num_classes=7))
    state = {name: one.contiguous() for name, one in whole.state_dict().items()}
    save_file(state, path)
    network = cls(**values, weights="somewhere", checkpoint=str(path)).build(BANDS, CLASSES)
    assert network.weights["name"] == path.name
    assert len(network.weights["sha256"]) == 64
    encoder = getattr(network.encoder, "body", None) or network.encoder.vit
    ours = encoder.state_dict()
    assert ours
    assert all(torch.equal(one, state[name]) for name, one in ours.items())


@pytest.mark.parametrize(("cls", "values"), PRETRAINED)
def test_a_checkpoint_that_would_not_be_loaded_is_refused(cls, values):
    with pytest.raises(ConfigError, match=r"network.checkpoint is 'a.pth', but network.pretrained"):
        cls(**values, checkpoint="a.pth", pretrained=False)
