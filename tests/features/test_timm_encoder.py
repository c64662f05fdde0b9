"""Models of timm as encoders, held against timm's other ways to the same features."""

from copy import deepcopy

import pytest
import timm
import torch
import torch.nn.functional as F
from stand_ins import uniform

from mapsr.errors import ConfigError
from mapsr.features import TimmEncoder, TimmSettings, ViT, ViTSettings
from mapsr.features.bands import RGB

SETTINGS = {
    "vit": TimmSettings(model="test_vit", pretrained=False),
    "dinov3": TimmSettings(model="vit_small_patch16_dinov3.lvd1689m", pretrained=False),
    "sam": TimmSettings(model="samvit_base_patch16.sa1b", pretrained=False),
    "swin": TimmSettings(model="swin_tiny_patch4_window7_224.ms_in22k", pretrained=False, layer=2),
    "swinv2": TimmSettings(model="swinv2_tiny_window8_256", pretrained=False, layer=1),
    "convnext": TimmSettings(model="convnext_atto.d2_in1k", pretrained=False, layer=1),
    "resnet": TimmSettings(model="test_resnet", pretrained=False, layer=3),
}
SHAPES = {  # length of a token, and pixels along the side of a cell
    "vit": (64, 16),
    "dinov3": (384, 16),
    "sam": (256, 16),  # its neck's
    "swin": (384, 16),
    "swinv2": (192, 8),
    "convnext": (80, 8),
    "resnet": (192, 16),
}


@pytest.fixture(scope="module")
def encoders():
    """One of each family, built once."""
    return {name: settings.build() for name, settings in SETTINGS.items()}


@pytest.mark.parametrize("family", SETTINGS)
def test_each_family_gives_a_grid_of_any_height_and_width(encoders, family):
    encoder = encoders[family]
    assert (encoder.dim, encoder.stride) == SHAPES[family]
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    for rows, columns in ((3, 5), (7, 2)):
        image = uniform(rows, 2, 4, rows * encoder.stride, columns * encoder.stride)
        tokens = encoder(image)
        assert tokens.shape == (2, encoder.dim, rows, columns)
        assert tokens.is_contiguous()
        # each image for itself, and bands after the named ones are not read
        alone = encoder(image[1:, :3])
        torch.testing.assert_close(tokens[1:], alone, rtol=1e-3, atol=1e-4)


def normalised(encoder, image):
    known = encoder.model.pretrained_cfg
    mean, std = (torch.tensor(known[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return (image - mean) / std


def test_last_layers_are_what_timm_itself_calls_the_features(encoders):
    image = uniform(2, 1, 3, 64, 96)
    for family, prefix in (("vit", 1), ("dinov3", 5)):
        encoder = encoders[family]
        whole = encoder.model.forward_features(normalised(encoder, image))
        expected = whole[:, prefix:].transpose(1, 2).unflatten(2, (4, 6))
        torch.testing.assert_close(encoder(image), expected, rtol=1e-4, atol=1e-4)
    sam = encoders["sam"]
    expected = sam.model.forward_features(normalised(sam, image))
    torch.testing.assert_close(sam(image), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["swin", "convnext", "resnet"])
def test_stages_are_those_of_timms_feature_extractor(encoders, family):
    encoder = encoders[family]
    options = {"strict_img_size": False} if family == "swin" else {}
    name = encoder.settings.model
    other = timm.create_model(name, features_only=True, **options).eval()
    state = {k.replace(".", "_", 1): v for k, v in encoder.model.state_dict().items()}
    ours = encoder.model.state_dict() | state  # it flattens the first level of names
    wanted = other.state_dict()
    assert wanted.keys() <= ours.keys()
    other.load_state_dict({k: ours[k] for k in wanted})
    image = uniform(3, 1, 3, 64, 96)
    expected = other(normalised(encoder, image))[encoder.layer]
    if family == "swin":
        expected = expected.permute(0, 3, 1, 2)
    torch.testing.assert_close(encoder(image), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", [2, 3])
def test_moving_the_image_by_a_cell_moves_the_tokens_of_a_convolutional_net(encoders, axis):
    encoder = encoders["convnext"]
    image = uniform(4, 1, 3, 8 * 28, 8 * 30)
    moved = encoder(image.roll(8, axis))
    expected = encoder(image).roll(1, axis)
    # two blocks of 7 x 7 at 4 px and two at 8 px reach 9 cells and a bit
    inside = (..., slice(11, -11), slice(11, -11))
    torch.testing.assert_close(moved[inside], expected[inside], rtol=1e-4, atol=1e-4)
    assert (moved - encoder(image))[inside].abs().max() > 0.01


@pytest.mark.parametrize("family", ["dinov3", "swin"])
def test_rows_and_columns_are_not_swapped(encoders, family):
    encoder = encoders[family]
    image = torch.full((1, 3, 48, 80), 0.4)
    changed = image.clone()
    changed[..., 16:32, 48:64] = uniform(5, 16, 16)
    difference = (encoder(changed) - encoder(image)).norm(dim=1)[0]
    assert divmod(int(difference.argmax()), 5) == (1, 3)


@pytest.mark.parametrize("linear", [torch.bfloat16, torch.int8])
@pytest.mark.parametrize("family", ["dinov3", "swin", "convnext", "resnet"])
def test_products_of_small_numbers_change_tokens_little(encoders, family, linear):
    image = uniform(10, 1, 3, 64, 96)
    whole = encoders[family](image)
    half = deepcopy(encoders[family]).reduce(linear, torch.bfloat16)(image)
    assert half.dtype == torch.float32 and not torch.equal(half, whole)
    assert torch.cosine_similarity(half, whole, dim=1).min() > 0.99


@pytest.mark.parametrize("family", ["dinov3", "swin"])
def test_linear_layers_of_transformers_are_int8(encoders, family, monkeypatch):
    calls, kept = [], torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda *given: calls.append(1) or kept(*given))
    deepcopy(encoders[family]).reduce(torch.int8, torch.float32)(uniform(10, 1, 3, 64, 96))
    layers = [one for one in encoders[family].modules() if isinstance(one, torch.nn.Linear)]
    assert len(calls) > len(layers) / 2  # those behind the layer that is taken are not run


def test_a_plain_vit_is_the_same_of_both_kinds():
    ours = TimmEncoder(TimmSettings(model="test_vit", layer=3, enlarge=2.0))
    other = ViT(ViTSettings(model="test_vit", layer=3, enlarge=2.0))
    other.load(ours.model.state_dict(), "here")
    image = uniform(6, 1, 3, 40, 56)
    torch.testing.assert_close(ours(image), other(image), rtol=1e-4, atol=1e-5)
    assert ours.stride == other.stride == 8


def test_an_enlarged_image_has_smaller_cells(encoders):
    twice = TimmSettings(model="convnext_atto.d2_in1k", pretrained=False, layer=1, enlarge=2.0)
    image = uniform(7, 1, 3, 24, 40)
    large = F.interpolate(image, scale_factor=2, mode="bicubic", align_corners=False)
    ours = twice.build()
    assert ours.stride == 4
    torch.testing.assert_close(ours(image), encoders["convnext"](large), rtol=1e-4, atol=1e-4)


def test_random_weights_are_those_of_their_seed_and_have_a_hash(encoders):
    before = torch.random.get_rng_state()
    settings = {"model": "test_vit", "pretrained": False}
    first, again = encoders["vit"], TimmSettings(**settings).build()
    other = TimmSettings(**settings, seed=1).build()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.weights == again.weights
    assert first.weights["name"] == "random, seed 0" and len(first.weights["sha256"]) == 64
    assert other.weights["sha256"] != first.weights["sha256"]
    image = uniform(8, 1, 3, 32, 48)
    assert torch.equal(first(image), again(image))
    assert not torch.allclose(first(image), other(image))


def test_a_model_of_other_bands_reads_them_in_its_order():
    names = ("blue", "green", "red", "nir", "swir16")
    reads = ("nir", "red", "swir16", "green")
    scale = {"mean": (0.4, 0.3, 0.2, 0.1), "std": (0.1, 0.2, 0.3, 0.4)}
    encoder = TimmSettings(
        model="test_resnet", pretrained=False, layer=2, bands=names, reads=reads, **scale
    ).build()
    assert encoder.bands == 5
    image = uniform(9, 1, 6, 32, 48)
    picked = image[:, [3, 2, 4, 1]]
    mean, std = (torch.tensor(scale[key]).view(1, 4, 1, 1) for key in ("mean", "std"))
    expected = encoder.model.forward_intermediates(
        (picked - mean) / std, indices=[2], intermediates_only=True
    )[0]
    torch.testing.assert_close(encoder(image), expected)
    # colour-infrared into the channels of an ordinary image
    infrared = ("nir", "red", "green")
    ordinary = TimmSettings(model="test_resnet", pretrained=False, layer=2)
    cir = TimmSettings(
        model="test_resnet", pretrained=False, layer=2, bands=infrared, reads=infrared
    )
    assert torch.equal(cir.build()(image), ordinary.build()(image))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "convnxt_atto"}, r"'convnxt_atto', which timm .* does not have. Did you mean"),
        ({"model": "convnext_atto.nowhere"}, r"can't make .*'convnext_atto.nowhere' .*nowhere"),
        ({"layer": 4}, r"backbone.layer is 4, but .* has 0 to 3, whose cells have 4, 8, 16, 32 px"),
        ({"model": "mixer_s32_224"}, r"can't encode images of any size .*: choose one that gives"),
        ({"enlarge": 3.0, "layer": 0}, r"enlarge=3.0 makes a patch of 4 px cover 1.33333"),
    ],
)
def test_models_and_layers_that_can_not_work_say_what_would(settings, message):
    chosen = {"model": "convnext_atto", "pretrained": False} | settings
    with pytest.raises(ConfigError, match=message):
        TimmSettings(**chosen).build()


def test_weights_are_never_random_unasked():
    with pytest.raises(ConfigError, match=r"no published weights: .* such as convnext_atto\.d2_in"):
        TimmSettings(model="convnext_atto").build()
    with pytest.raises(ConfigError, match=r"pretrained=false starts from random weights: set"):
        TimmSettings(checkpoint="x.pth", pretrained=False)
    with pytest.raises(ConfigError, match=r"backbone.enlarge is 0"):
        TimmSettings(enlarge=0)
    assert TimmSettings().reads == RGB
