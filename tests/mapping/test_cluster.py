"""The Ray engine on a real cluster: several node processes on this machine."""

import logging
import os
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from make_places import make_place
from rasterio.crs import CRS

from mapsr.cli.main import main
from mapsr.errors import ConfigError, MapsrError, RasterError
from mapsr.geo import (
    Grid,
    ImageReader,
    WindowSettings,
    image_info,
    read_values,
    write_raster,
)
from mapsr.legends import load_legend
from mapsr.mapping import (
    LocalEngine,
    MapJob,
    MapPlan,
    Output,
    Raster,
    RayEngine,
    RaySettings,
    run_jobs,
)
from mapsr.mapping.actors import ActorPool
from mapsr.progress import Quiet

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # else a cluster reports that it exists
ray = pytest.importorskip("ray")
# Ray leaves sockets and processes to the end of the interpreter, and warns of its own future
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
SIZE = (70, 150)
WINDOWS = WindowSettings(chip=20, overlap=6, unit=20)
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
OUTPUTS = (Output(), Output(kind="scores"))


def make_build(pause=0.0, poison=None):
    """A method that can be sent elsewhere: smoothed bands, slow enough to be interrupted."""

    def build(device):
        def score(chips):
            import os
            import time

            import torch

            time.sleep(pause)
            if chips[0].window == poison:
                os._exit(1)  # as if out of memory
            image = torch.stack([chip.image for chip in chips])
            smooth = torch.nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
            return {"map": torch.cat([smooth, smooth.mean(1, keepdim=True)], 1)}

        return score

    return build


def make_failing():
    def build(device):
        raise MapsrError("the weights are not here")

    return build


def module_level(device):
    """A method that other processes can't import."""


class KillAfter:
    """A progress that does something once, after so many units and when all is ready for it."""

    def __init__(self, count, act, ready=lambda: True):
        self.count, self.act, self.ready = count, act, ready
        self.done = False

    def track(self, items, what, total):
        for number, item in enumerate(items, start=1):
            yield item
            if number >= self.count and not self.done and self.ready():
                self.done = True
                self.act()


@pytest.fixture
def welcomed(monkeypatch):
    """The actors that are ready for work."""
    actors, welcome = [], ActorPool._welcome
    monkeypatch.setattr(ActorPool, "_welcome", lambda pool, a: [actors.append(a), welcome(pool, a)])
    return actors


@pytest.fixture(scope="module")
def cluster():
    """A head without cores and two nodes with one core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0})
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster, nodes
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "image.tif"
    values = np.random.default_rng(7).integers(1, 256, (3, *SIZE)).astype(np.uint8)
    values[:, :20, :40] = 0
    grid = Grid(CRS.from_epsg(26917), Affine(1, 0, 529483, 0, -1, 4149392), *SIZE)
    write_raster(path, values, grid, nodata=0)
    return path


def job(image, out):
    reader = ImageReader(image_info(image), None, 255.0)
    plan = MapPlan(SIZE, WINDOWS)
    raster = Raster(image.name, reader, plan, OUTPUTS)
    return MapJob(raster, out, load_legend("chesapeake4"), {"of": "cluster"})


def files(out):
    return [out.read_bytes(), out.with_name(f"{out.stem}_scores.tif").read_bytes()]


@pytest.fixture(scope="module")
def local(image, tmp_path_factory):
    """The files of the local engine."""
    out = tmp_path_factory.mktemp("local") / "map.tif"
    engine = LocalEngine(make_build()(None), workers=2)
    [report] = run_jobs([job(image, out)], engine, Quiet())
    assert report.error is None
    return files(out)


def test_a_node_that_dies_costs_its_units_only(cluster, image, local, tmp_path, caplog, welcomed):
    cluster, nodes = cluster
    engine = RayEngine(make_build(0.25), RaySettings())
    # on a busy machine the second node's actor may start long after the first one's
    kill = KillAfter(
        8,
        lambda: cluster.remove_node(nodes.pop(), allow_graceful=False),
        ready=lambda: len(welcomed) == len(nodes),
    )
    [report] = run_jobs([job(image, tmp_path / "map.tif")], engine, kill)
    assert report.error is None
    assert kill.done
    assert "is lost with its actor" in caplog.text
    assert files(tmp_path / "map.tif") == local


@pytest.mark.soak
def test_a_node_that_joins_gets_work(cluster, image, local, tmp_path, welcomed):
    cluster, nodes = cluster
    join = KillAfter(2, lambda: nodes.append(cluster.add_node(**NODE)))
    [report] = run_jobs(
        [job(image, tmp_path / "map.tif")], RayEngine(make_build(0.8), RaySettings()), join
    )
    assert report.error is None
    assert len(welcomed) == len(nodes)
    assert files(tmp_path / "map.tif") == local


@pytest.mark.soak
def test_a_unit_that_is_lost_too_often_is_reported(cluster, image, tmp_path):
    poison = MapPlan(SIZE, WINDOWS).chips(MapPlan(SIZE, WINDOWS)[5])[0]
    engine = RayEngine(make_build(poison=poison), RaySettings(retries=1))
    [report] = run_jobs([job(image, tmp_path / "map.tif")], engine, Quiet())
    assert "Unit 5 of image.tif was lost 2 times with the actor that worked on it" in str(
        report.error
    )
    assert not (tmp_path / "map.tif").exists()


def test_a_raster_that_breaks_off_spoils_itself_only(cluster, image, local, tmp_path):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    reader = ImageReader(replace(image_info(image), path=broken), None, 255.0)
    bad = job(image, tmp_path / "bad.tif")
    bad = replace(bad, raster=replace(bad.raster, reader=reader))
    good = job(image, tmp_path / "map.tif")
    reports = run_jobs([bad, good], RayEngine(make_build(), RaySettings()), Quiet())
    assert isinstance(reports[0].error, RasterError) and reports[1].error is None
    assert files(tmp_path / "map.tif") == local


def test_a_method_that_cannot_be_built_says_why(cluster, image, tmp_path):
    with pytest.raises(MapsrError, match="the weights are not here"):
        run_jobs(
            [job(image, tmp_path / "map.tif")], RayEngine(make_failing(), RaySettings()), Quiet()
        )


def test_other_versions_of_mapsr_are_refused(cluster, image, tmp_path, monkeypatch):
    monkeypatch.setattr("mapsr.__version__", "99.0")
    with pytest.raises(ConfigError, match=r"has mapsr .*, this machine 99\.0: install the same"):
        run_jobs(
            [job(image, tmp_path / "map.tif")], RayEngine(make_build(), RaySettings()), Quiet()
        )


@pytest.mark.soak
def test_actors_that_all_die_at_the_start_are_not_made_for_ever(cluster, image, tmp_path):
    engine = RayEngine(module_level, RaySettings())
    with pytest.raises(MapsrError, match="Actors die while they start on the cluster: "):
        run_jobs([job(image, tmp_path / "map.tif")], engine, Quiet())


def test_a_network_maps_on_two_nodes_as_on_one_machine(cluster, tmp_path, monkeypatch):
    """`mapsr map fitted=RUN engine=ray`, with a network that a run had trained."""
    cluster, nodes = cluster
    while len(nodes) < 2:  # another test may have killed one
        nodes.append(cluster.add_node(**NODE))
    run = tmp_path / "run"
    drawn = ("data.height=160", "data.width=172", "data.fit_scenes=1", "data.score_scenes=1")
    small = ("training.epochs=null", "training.max_steps=1", "training.batch=2")
    crops = ("training.crop=32", "training.chips_per_scene=2", "network.width=8")
    windows = ("windows.chip=48", "windows.overlap=8", "windows.unit=48")
    fit = ("run", "method=l2hnet_original", *drawn, *small, *crops, *windows, "logger=none")
    assert main([*fit, f"output={run}"]) == 0
    image = run / "scenes" / "score_0" / "image.tif"
    out = tmp_path / "map.tif"
    given = (f"fitted={run}", f"image={image}", f"out={out}", "engine=ray")
    assert main(["map", *given, f"engine.address={cluster.address}"]) == 0
    whole = image_info(image).grid.window
    assert np.array_equal(read_values(out, whole), read_values(run / "maps" / "score_0.tif", whole))


def test_products_vote_on_nodes_as_on_one_machine(cluster, tmp_path):
    """`mapsr label engine=ray`, whose units are whole patches."""
    cluster, nodes = cluster
    if not nodes:
        nodes.append(cluster.add_node(**NODE))
    registry = make_place(tmp_path, places=2)
    given = [f"registry={registry}", f"image={tmp_path}/image_*.tif", "patch=32"]
    far = ("engine=ray", f"engine.address={cluster.address}")
    assert main(["label", *given, f"output={tmp_path / 'local'}"]) == 0
    assert main(["label", *given, f"output={tmp_path / 'far'}", *far]) == 0
    files = sorted((tmp_path / "local" / "labels").rglob("*.tif"))
    assert len(files) == 2 * 4
    for file in files:
        other = tmp_path / "far" / file.relative_to(tmp_path / "local")
        assert file.read_bytes() == other.read_bytes(), file.name
