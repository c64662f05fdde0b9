import pytest
import torch
from stand_ins import uniform

from mapsr.errors import ConfigError
from mapsr.features.bands import RGB, WAVELENGTHS_UM, BandInput, BandSettings


def test_bands_are_picked_by_name_and_scaled_by_hand():
    settings = BandSettings(bands=("nir", "blue", "red", "green", "height"), reads=RGB)
    pick = BandInput(settings, (0.5, 0.25, 0.0), (0.5, 0.25, 2.0))
    assert pick.needed == 4  # height is never read
    values = torch.tensor([9.0, 0.4, 1.0, 0.5, 7.0])
    image = values.view(1, 5, 1, 1).expand(1, 5, 2, 3)
    # (1 - 0.5) / 0.5, (0.5 - 0.25) / 0.25, 0.4 / 2
    expected = torch.tensor([1.0, 1.0, 0.2]).view(1, 3, 1, 1).expand(1, 3, 2, 3)
    torch.testing.assert_close(pick(image), expected)


def test_means_of_the_settings_come_before_those_of_the_model():
    settings = BandSettings(mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    image = uniform(1, 1, 3, 2, 3)
    ours = BandInput(settings, (0.5, 0.5, 0.5), None)(image)
    torch.testing.assert_close(ours, image - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bands": ()}, r"backbone.bands is \[\], expected names of bands, each once"),
        ({"bands": ("red", "red")}, r"backbone.bands is \[red, red\], expected names"),
        (
            {"reads": ("red", "nirr"), "bands": ("red", "nir")},
            r"backbone.reads has 'nirr', but backbone.bands names red, nir: .* mean 'nir'\?",
        ),
        ({"mean": (0.5, 0.5)}, r"backbone.mean is \[0.5, 0.5\], expected one number for each of"),
        ({"std": (0.5, 0.0, 1.0)}, r"backbone.std is .*, expected one number above 0 for each"),
        ({"mean": (0.5, float("nan"), 1.0)}, r"backbone.mean is .*nan.*, expected one number"),
    ],
)
def test_bands_that_do_not_fit_each_other_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        BandSettings(**settings)


def test_a_band_without_a_scale_is_refused():
    four = BandSettings(bands=(*RGB, "nir"), reads=(*RGB, "nir"))
    message = r"backbone.mean is unset, and the model knows 3 for the 4 bands .*\(|blue, nir"
    with pytest.raises(ConfigError, match=message):
        BandInput(four, (0.5, 0.5, 0.5), (1, 1, 1))
    with pytest.raises(ConfigError, match=r"the model knows none for the 3 bands"):
        BandInput(BandSettings(), None, None)


def test_wavelengths_are_sentinel_2s():
    # B1 to B9, B11 and B12 of Sentinel-2, in nanometres
    named = {"coastal": 443, "blue": 490, "green": 560, "red": 665, "rededge1": 705}
    named |= {"rededge2": 740, "rededge3": 783, "nir": 842, "nir08": 865, "nir09": 945}
    named |= {"swir16": 1610, "swir22": 2190}
    assert {name: round(1000 * um) for name, um in WAVELENGTHS_UM.items()} == named
