"""The choices data=chesapeake, poland and sinolc1, composed as the command line does."""

import pytest

from mapsr.cli.compose import compose_run
from mapsr.data.chesapeake import ChesapeakeSettings
from mapsr.data.geotiff import GeoTiffSettings
from mapsr.legends import LegendSettings


def test_chesapeake_scores_the_papers_tiles_of_new_york():
    settings = compose_run(["data=chesapeake", "data.root=x"])
    assert settings.data == ChesapeakeSettings(root="x")
    assert (settings.legend.coarse, settings.legend.truth) == ("nlcd", "chesapeake_1m")


def test_chesapeake_takes_lists_of_states():
    overrides = ["data=chesapeake", "data.root=x", "data.states=[de,wv]", "data.fit_states=[ny]"]
    data = compose_run(overrides).data
    assert isinstance(data, ChesapeakeSettings)
    assert (data.states, data.fit_states) == (("de", "wv"), ("ny",))


@pytest.mark.parametrize(("name", "truth"), [("poland", "chesapeake4"), ("sinolc1", "sinolc1")])
def test_three_products_bring_their_legends(name: str, truth: str):
    settings = compose_run([f"data={name}", "data.root=x"])
    assert settings.data == GeoTiffSettings(
        root="x", table=f"{name}.csv", bands=3, agree=("esri_10m_2020", "from_glc10")
    )
    assert settings.legend == LegendSettings(coarse="esa_worldcover", truth=truth)


def test_legends_of_three_products_can_be_overridden():
    overrides = ["data=poland", "data.root=x", "legend=mapsr", "legend.truth=nlcd"]
    legend = compose_run(overrides).legend
    assert legend == LegendSettings(coarse="esa_worldcover", truth="nlcd", crosswalk="mapsr")
