"""Rounds of voting as map jobs: resumable, and known again when they are done."""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path

import mapsr
from mapsr.changes import INPUTS
from mapsr.errors import ConfigError
from mapsr.evaluation import Confusion
from mapsr.geo import ImageReader, source_files
from mapsr.geo.mosaic_tiles import Tiles, tiles_in
from mapsr.geo.states import asking_once
from mapsr.labelling.packing import Arrays, load_arrays, save_arrays, unpack
from mapsr.labelling.statistics import Statistics
from mapsr.labelling.units import LABELS, LEARN, VOTES, Ballot, Earlier, Filling, add_up
from mapsr.mapping import MapJob, Output, Raster, run_jobs
from mapsr.mapping.blend import UnitResult
from mapsr.mapping.engines import Work
from mapsr.mapping.plan import PatchPlan
from mapsr.mapping.store import About, file_states
from mapsr.progress import Progress
from mapsr.rounds.region import Labelled, LabelRegion
from mapsr.rounds.settings import LabelSettings
from mapsr.settings import content_of

logger = logging.getLogger(__name__)
_SCALE = 255.0


@dataclass(frozen=True, eq=False)
class Counted:
    """The label maps of a round, and what was counted of them.

    Attributes:
        paths: label map of each image.
        hashes: of all that each of them depends on.
        statistics: over all images.
        validation: truth for validation against labels, of each image.
        known: pixels of each image that have truth for validation.
    """

    paths: tuple[Path, ...]
    hashes: tuple[str, ...]
    statistics: Statistics
    validation: Confusion
    known: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Basis:
    """What a later round adds to.

    Attributes:
        labels: of the round before.
        models: the map of the model that learnt from them, of each image.
        hashes: of all that these maps depend on.
        weight: of the model's vote in tenths.
    """

    labels: Counted
    models: tuple[Path, ...]
    hashes: tuple[str, ...]
    weight: int


@dataclass(frozen=True)
class Polls:
    """What all rounds of a labelling share.

    Attributes:
        settings: of the command.
        region: images, products and truth.
        folder: of the run.
        progress: shows the work.
    """

    settings: LabelSettings
    region: LabelRegion
    folder: Path
    progress: Progress

    def vote(self, number: int, basis: Basis | None = None) -> Counted:
        """Vote on all images.

        Args:
            number: of the round.
            basis: what a later round adds to; None in round 0.

        Raises:
            MapsrError: an image can't be labelled; what is done is kept, the other images too.
        """
        region = self.region
        folder = self.folder / "labels" / f"round_{number}"
        if number == 0 and self.settings.votes:
            _take_over(Path(self.settings.votes) / "labels" / folder.name, folder)
        outs = [folder / f"{image.name}.tif" for image in region.images]
        places = range(len(outs))
        earlier = tuple(_earlier(basis, place, number) for place in places)
        ballot = Ballot(
            region.plan,
            region.products,
            region.judges,
            region.held,
            earlier,
            tuple(image.info.path for image in region.images),
        )
        outputs = (*VOTES, *((LEARN,) if region.held else ()))
        with asking_once():
            abouts = [self._about(number, place, basis) for place in places]
        arrays, hashes = self._do(outs, outputs, abouts, ballot, f"vote {number}")
        names = tuple(one.name for one in region.plan.products)
        classes = region.plan.target.names
        first, *others = (unpack(one, names, classes) for one in arrays)
        parts = [Confusion(one["validation"]) for one in arrays]
        return Counted(
            paths=tuple(outs),
            hashes=hashes,
            statistics=sum(others, first),
            validation=sum(parts[1:], parts[0]),
            known=tuple(int(one.counts.sum()) for one in parts),
        )

    def fill(self, basis: Basis) -> tuple[Confusion, Confusion]:
        """Write the final maps: the labels, and the model's class where they are undetermined.

        Returns:
            All truth against them, and that for validation.

        Raises:
            MapsrError: a map can't be made; what is done is kept.
        """
        outs = [self.folder / "maps" / f"{image.name}.tif" for image in self.region.images]
        pairs = tuple(zip(basis.labels.paths, basis.models, strict=True))
        filling = Filling(self.region.judges, len(self.region.plan.target), pairs)
        abouts: list[About] = [
            {"version": mapsr.__version__, "labels": label, "model": model}
            for label, model in zip(basis.labels.hashes, basis.hashes, strict=True)
        ]
        arrays, _ = self._do(outs, (LABELS,), abouts, filling, "fill")
        whole = [Confusion(one["confusion"]) for one in arrays]
        part = [Confusion(one["validation"]) for one in arrays]
        return sum(whole[1:], whole[0]), sum(part[1:], part[0])

    def _do(
        self,
        outs: Sequence[Path],
        outputs: tuple[Output, ...],
        abouts: Sequence[About],
        work: Work,
        what: str,
    ) -> tuple[list[Arrays], tuple[str, ...]]:
        """Do a job for each image; return what was counted of each, and the jobs' hashes."""
        jobs = []
        for image, out, about in zip(self.region.images, outs, abouts, strict=True):
            grid = image.info.grid
            plan = PatchPlan((grid.height, grid.width), self.settings.patch)
            raster = Raster(image.name, ImageReader(image.info, None, _SCALE), plan, outputs)
            tags = {"MAPSR_VERSION": mapsr.__version__, "MAPSR_LABELS": self.settings.name}
            keep = partial(_keep_counts, out)
            inputs = tuple(_inputs(self.region, image))
            target = self.region.plan.target
            jobs.append(MapJob(raster, out, target, about, tags, inputs=inputs, beside=keep))
        engine = self.settings.engine.open_work(work)
        reports = run_jobs(jobs, engine, self.progress, what)
        failed = [one for one in reports if one.error is not None]
        for report in failed:
            logger.warning("%s: %s", report.job.raster.name, report.error)
        if failed and failed[0].error:
            raise failed[0].error
        return [load_arrays(_counts_of(out)) for out in outs], tuple(job.hash for job in jobs)

    def _about(self, number: int, place: int, basis: Basis | None) -> About:
        """All that the labels of an image depend on."""
        region, settings = self.region, self.settings
        about: dict[str, object] = {
            "version": mapsr.__version__,
            "round": number,
            "patch": settings.patch,
            "voting": content_of(settings.voting),
            "target": region.plan.target.name,
            **_rule_of(region),
            "truth": {"legend": settings.truth_legend, "crosswalk": settings.crosswalk},
            "blocks": [asdict(one) if one else None for one in (region.judges.blocks, region.held)],
            INPUTS: file_states(_inputs(region, region.images[place])),
        }
        if basis is not None:
            about["labels"], about["model"] = basis.labels.hashes[place], basis.hashes[place]
            about["weight"] = basis.weight
        return about


def _earlier(basis: Basis | None, place: int, number: int) -> Earlier | None:
    if basis is None:
        return None
    return Earlier(basis.labels.paths[place], basis.models[place], basis.weight, number - 1)


def _rule_of(region: LabelRegion) -> dict[str, object]:
    """What votes depend on besides pixels: products with their classes, weights, thresholds."""
    plan = region.plan
    products = {
        one.name: {"weight": weight, "classes": _classes_of(one.source), "level": standing.level}
        for one, weight, standing in zip(plan.products, plan.weights, plan.standings, strict=True)
    }
    rule = {"priority": list(plan.rule.priority), "thresholds": list(plan.rule.thresholds)}
    return {"voters": products, "rule": rule}


def _classes_of(source: object) -> object:
    """Which values stand for which classes, without the files."""
    return {key: _plain(value) for key, value in vars(source).items() if key != "paths"}


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in sorted(value.items())}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _inputs(region: LabelRegion, image: Labelled) -> Iterator[Path]:
    """The files that the labels of an image depend on."""
    grid = image.info.grid
    yield from image.info.files

    def near(tiles: Tiles) -> Iterator[Path]:
        for path in tiles_in(tiles, grid, grid.window):
            yield from source_files(path)

    for opened in region.products:
        if opened.tiles is not None:
            yield from near(opened.tiles)
        for _, file in opened.layers:
            yield file.path
    judges = region.judges
    for truth in (judges.truth, judges.validation, judges.test):
        if truth is not None:
            yield from near(truth.tiles)


def _counts_of(out: Path) -> Path:
    return out.with_name(f"{out.stem}_counts.npz")


def _keep_counts(out: Path, units: Iterator[UnitResult]) -> None:
    """Write what was counted of an image beside its labels."""
    save_arrays(_counts_of(out), add_up(units))


def _take_over(source: Path, folder: Path) -> None:
    """Link or copy the votes of an earlier run, so that they are known as done.

    Raises:
        ConfigError: there are none.
    """
    files = sorted(source.glob("[!.]*")) if source.is_dir() else []
    if not files:
        raise ConfigError(
            f"There are no votes in {source}, expected the run folder of an earlier `mapsr label` "
            "as votes=."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        target = folder / file.name
        if target.exists():
            continue
        try:
            os.link(file, target)  # files are replaced as a whole, never changed
        except OSError:  # another disk, or one without links
            shutil.copy2(file, target)
