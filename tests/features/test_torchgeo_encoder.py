"""Models of torchgeo as encoders, held against what torchgeo and torchvision do with them."""

import sys

import pytest
import torch
from stand_ins import normal, uniform
from torch import nn

from mapsr.errors import ConfigError
from mapsr.features import TorchgeoSettings

pytest.importorskip("torchgeo", reason="torchgeo is an extra")

DOFA = {"model": "dofa_small_patch16_224", "pretrained": False}


@pytest.fixture(scope="module")
def dofa():
    """With positions, which are zero without weights."""
    encoder = TorchgeoSettings(**DOFA).build()
    encoder.model.net.pos_embed.data = normal(0, 1, 1 + 14 * 14, 384)
    return encoder


def test_dofas_tokens_are_those_that_torchgeo_means(dofa):
    net, norm = dofa.model.net, dofa.model.net.fc_norm
    image = uniform(1, 1, 3, 224, 224)
    try:
        net.fc_norm = nn.Identity()
        expected = net.forward_features(dofa.input(image), [0.665, 0.56, 0.49])
        torch.testing.assert_close(dofa(image).mean((2, 3)), expected, rtol=1e-4, atol=1e-4)
    finally:
        net.fc_norm = norm
    assert (dofa.dim, dofa.stride, dofa.bands) == (384, 16, 3)


def test_a_token_of_dofa_is_the_one_of_its_patch_at_any_size(dofa):
    image = uniform(2, 1, 3, 48, 80)
    changed = image.clone()
    changed[..., 16:32, 48:64] = 1 - changed[..., 16:32, 48:64]  # row 1, column 3
    tokens = dofa(image)
    assert tokens.shape == (1, 384, 3, 5)
    difference = (dofa(changed) - tokens).norm(dim=1)[0]
    assert divmod(int(difference.argmax()), 5) == (1, 3)


def test_bands_are_told_apart_by_wavelength_and_not_by_place():
    names, turned = ("red", "green", "blue", "nir"), ("nir", "blue", "red", "green")
    mean = dict(zip(names, (0.46, 0.51, 0.48, 0.64), strict=True))

    def encoder(reads):
        scale = {"mean": tuple(mean[one] for one in reads), "std": (0.2,) * 4}
        return TorchgeoSettings(**DOFA, reads=reads, bands=names, **scale).build()

    image = uniform(3, 1, 4, 32, 48)
    first = encoder(names)
    expected = first(image)
    torch.testing.assert_close(encoder(turned)(image), expected, rtol=1e-3, atol=1e-4)
    first.model.wavelengths[3] = 2.19
    assert (first(image) - expected).abs().max() > 0.01


def test_panopticon_is_torchgeos():
    encoder = TorchgeoSettings(model="panopticon_vitb14", pretrained=False).build()
    assert (encoder.dim, encoder.stride) == (768, 14)
    assert encoder(uniform(4, 1, 3, 28, 42)).shape == (1, 768, 2, 3)
    net = encoder.model.net
    # positions of the image's own grid, which torchgeo wants
    net.pos_embed = nn.Parameter(normal(5, 1, 1 + 3 * 3, 768), requires_grad=False)
    image = uniform(6, 2, 3, 42, 42)
    bands = torch.tensor([[665.0, 560.0, 490.0]]).repeat(2, 1)
    whole = net.forward_features({"imgs": encoder.input(image), "chn_ids": bands})
    expected = whole[:, 1:].transpose(1, 2).unflatten(2, (3, 3))
    torch.testing.assert_close(encoder(image), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("layer", "dim", "side"), [(1, 192, 8), (-1, 768, 32)])
def test_stages_of_satlas_are_torchvisions(layer, dim, side):
    settings = {"model": "swin_v2_t", "pretrained": False, "layer": layer}
    encoder = TorchgeoSettings(**settings).build()
    assert (encoder.dim, encoder.stride) == (dim, side)
    seen = {}
    net = encoder.model.net
    last = net.norm if layer == -1 else net.features[2 * layer + 1]
    last.register_forward_hook(lambda module, given, made: seen.update(made=made))
    image = uniform(7, 1, 3, 64, 96)
    net(image)  # its images are in [0, 1], with no other scale
    expected = seen["made"].permute(0, 3, 1, 2)
    torch.testing.assert_close(encoder(image), expected, rtol=1e-4, atol=1e-4)


def test_satlas_reads_as_many_bands_as_are_named():
    many = ("red", "green", "blue", "rededge1", "nir", "swir16")
    settings = TorchgeoSettings(
        model="swin_v2_t", pretrained=False, layer=0, bands=many, reads=many
    )
    encoder = settings.build()
    assert encoder.bands == 6
    assert encoder(uniform(8, 1, 6, 32, 48)).shape == (1, 96, 8, 12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "dofa"}, r"backbone.model is 'dofa', expected one of dofa_base_patch16_224"),
        ({"model": "resnet50"}, r"which torchgeo takes from timm: use backbone=timm"),
        ({"layer": 12}, r"backbone.layer is 12, but dofa_small_patch16_224 has 0 to 11"),
        (
            {"reads": ("red", "nir"), "bands": ("red", "nir")},
            r"backbone.mean is unset, and the model knows none for the 2 bands",
        ),
    ],
)
def test_models_that_can_not_work_say_what_would(settings, message):
    with pytest.raises(ConfigError, match=message):
        TorchgeoSettings(**(DOFA | settings)).build()


def test_wavelengths_are_known_by_name_or_given():
    with pytest.raises(ConfigError, match=r"'nirr', whose wavelength is not known.*mean 'nir'"):
        TorchgeoSettings(bands=("red", "nirr"), reads=("red", "nirr"))
    own = ("red", "thermal")
    given = TorchgeoSettings(bands=own, reads=own, wavelengths=(0.665, 10.9))
    assert given.known_wavelengths() == (0.665, 10.9)
    with pytest.raises(
        ConfigError, match=r"wavelengths is \[665.0, 560.0, 490.0\], expected micro"
    ):
        TorchgeoSettings(wavelengths=(665, 560, 490))


def test_without_torchgeo_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchgeo", None)
    with pytest.raises(ConfigError, match=r"needs torchgeo, .*pip install 'mapsr\[chesapeake\]'"):
        TorchgeoSettings(**DOFA).build()
    # before the weights, which are not here and would be fetched
    with pytest.raises(ConfigError, match="needs torchgeo, "):
        TorchgeoSettings(weights="dofa_large").build()
