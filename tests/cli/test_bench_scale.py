"""The simulated cluster by hand, and `mapsr bench scale` and `mapsr bench all`."""

import json

import pytest
import stand_ins  # noqa: F401 - one thread

from mapsr.benchmarks import every, rasters, scale
from mapsr.benchmarks.scale import area
from mapsr.benchmarks.scheduler import Cluster, UnitCosts, scaling, simulate
from mapsr.cli.main import main
from mapsr.errors import ConfigError

FREE = Cluster(1, store_mib_s=1e9, network_mib_s=1e9)
NAMES = ("head", "small files", "object store", "image store")


def costs(seconds=(1.0,), head=0.0, files=0.0, image=0.0, result=0.0):
    return UnitCosts(tuple(seconds), head, files, image, result)


def test_three_units_on_one_actor_by_hand():
    # given at 1 and 2 s; read 3, scored 10 s each; a result travels 2 s and is kept in 2 s:
    # scored at 14, 27 and 40, the last one is kept at 44
    unit = costs(head=1, files=2, image=3, result=4)
    made = simulate([10, 10, 10], unit, Cluster(1, store_mib_s=1, network_mib_s=2), nodes=1)
    assert made.seconds == 44
    assert made.busy == dict(zip(NAMES, (3, 6, 6, 9), strict=True))


def test_two_actors_that_share_a_store_by_hand():
    # the second waits for the store: 0-3 and 3-6, then 13-16 and 16-19, so scored at 26 and 29
    made = simulate([10] * 4, costs(image=3), Cluster(2, 1, 1e9), nodes=1)
    assert made.seconds == 29


def test_an_actor_does_not_wait_for_its_results_way():
    # the second unit lies there already when the first is scored
    made = simulate([5, 5], costs(result=100), Cluster(1, 1e9, 1), nodes=1)
    assert made.seconds == 5 + 100 + 100


@pytest.mark.parametrize(
    ("unit", "cluster", "limit"),
    [
        (costs(), FREE, None),
        (costs(head=0.2), FREE, "head"),
        (costs(head=0.05, files=0.2), FREE, "small files"),
        (costs(result=1), Cluster(1, 1e9, 5.0), "object store"),
        (costs(image=1), Cluster(1, 5.0, 1e9), "image store"),
        # a long unit now and then: the others wait for it
        (costs(seconds=(1.0,) * 9 + (40.0,)), FREE, "last units"),
    ],
)
def test_what_limits_is_named(unit, cluster, limit):
    one, many = scaling(unit, cluster, (1, 50), each=10)
    assert one.efficiency == 1 and one.bottleneck is None
    assert many.bottleneck == limit
    if limit not in (None, "last units"):
        # five units a second at the most, where fifty nodes could do about fifty
        assert 0.05 < many.efficiency < 0.2
        assert max(many.shares.values()) > 0.7


def test_a_seed_gives_the_same_and_efficiency_falls_with_nodes():
    unit = costs(seconds=(1.0, 1.5, 2.5), head=0.004, files=0.01, image=2, result=3)
    first = scaling(unit, Cluster(4), (1, 5, 20, 60), seed=3)
    assert first == scaling(unit, Cluster(4), (1, 5, 20, 60), seed=3)
    assert first != scaling(unit, Cluster(4), (1, 5, 20, 60), seed=4)
    efficiencies = [one.efficiency for one in first]
    assert efficiencies[-1] < 0.9 < efficiencies[1]


def test_costs_of_areas_by_hand():
    # 2000 km2 at 1 m are 2000 Mpx; at 3.6 s each two core hours
    found = area(2000, {"some": 3.6})
    assert found.core_hours == {"some": pytest.approx(2)}
    assert found.map_gib == pytest.approx(2e9 / 2**30)
    assert found.disk_gib == pytest.approx(6 * 2e9 / 2**30)


def test_the_command_prints_costs_and_limits(monkeypatch, capsys):
    monkeypatch.setattr(scale, "Sizes", lambda: SIZES)
    monkeypatch.setattr(scale, "NODES", (1, 1000))
    monkeypatch.setattr(scale, "_head_seconds", lambda: 1e-3)
    monkeypatch.setattr(rasters, "ENCODER", "vit_tiny_patch16_224")
    assert main(["bench", "scale", "--actors", "2", "--network", "1e-4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    seconds = result["core_seconds_per_mpx"]
    assert min(seconds.values()) > 0
    county = result["areas"]["county"]
    for method, one in seconds.items():
        assert county["core_hours"][method] == pytest.approx(2000 * one / 3600)
    assert result["cluster"]["actors"] == 2
    assert result["bottleneck_at_1000"] == "object store"  # hundred bytes a second for all
    assert result["measured"]["file_seconds"] > 0 and result["measured"]["result_mib"] > 0
    assert any("limited by: object store" in line for line in lines)


SIZES = scale.Sizes(units=(70, 90), chips=(64, 64))


def test_a_rate_that_cannot_be_is_refused(capsys):
    for wrong in ("--store=0", "--network=nan", "--actors=0"):
        with pytest.raises(SystemExit):
            main(["bench", "scale", wrong])
        assert "expected" in capsys.readouterr().err


def test_all_benchmarks_make_one_table_and_name_what_is_absent(tmp_path, monkeypatch, capsys):
    def absent(compose):
        raise ConfigError("There is no GPU | here.")

    numbers = {"ratio": 1.25, "by": {"a": 3}, "rows": [{"x": None}, {"x": 2.0}], "list": [7]}
    monkeypatch.setattr(
        every, "BENCHMARKS", {"one": lambda compose: numbers, "gpu": absent, "other": absent}
    )
    out = tmp_path / "bench"
    assert main(["bench", "all", "--output", str(out), "--only", "one", "gpu"]) == 0
    table = (out / "bench.md").read_text()
    for row in ("| one | ratio | 1.25 |", "| one | by.a | 3 |", "| one | rows.0.x | None |"):
        assert row in table
    assert "| one | list.0 | 7 |" in table
    assert "| gpu | not run | There is no GPU / here. |" in table and "other" not in table
    found = json.loads((out / "bench.json").read_text())
    assert found["results"] == {"one": numbers} and set(found["absent"]) == {"gpu"}
    assert {"mapsr", "torch"} <= found["versions"].keys() and found["machine"]["cores"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    assert main(["bench", "all", "--output", str(out), "--only", "twe"]) == 1


def test_every_benchmark_of_the_command_line_is_in_the_table():
    from mapsr.cli.main import parser

    commands = next(
        action.choices for action in parser()._actions if getattr(action, "choices", None)
    )
    names = next(
        action.choices for action in commands["bench"]._actions if getattr(action, "choices", None)
    )
    assert set(names) - {"all"} == {name.partition("_")[0] for name in every.BENCHMARKS}
