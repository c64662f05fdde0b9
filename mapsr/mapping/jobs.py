"""Map jobs: from rasters to files, through work folders that survive a kill."""

import hashlib
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from mapsr.changes import INPUTS
from mapsr.errors import ConfigError, MapsrError, RasterError
from mapsr.files import clear_partial
from mapsr.geo import block_cache, clear_sidecars, read_tags
from mapsr.legends import Legend
from mapsr.mapping.assembly import assemble, output_paths
from mapsr.mapping.blend import UnitResult
from mapsr.mapping.engines import Engine, Raster, UnitTask, cache_mib
from mapsr.mapping.store import About, WorkFolder, changed_files
from mapsr.progress import Progress

logger = logging.getLogger(__name__)

PRODUCTS = "products"
"""Key of what a job depends on for the files of the coarse product."""
_BACKLOG = 8
"""Maps that wait to be put together: each keeps its work folder with an open file, so that many
small images would reach the system's limit."""
JOB_TAG = "MAPSR_JOB"
"""Tag of a map with the hash of all that it depends on."""


def is_map(path: Path) -> bool:
    """Tell whether a raster is what a job of mapsr wrote, rather than an image."""
    return JOB_TAG in read_tags(path)


@dataclass(frozen=True)
class MapJob:
    """A raster and the files that come of it.

    Attributes:
        raster: what is scored.
        out: the label map; other outputs lie beside it, with their kind in the name.
        legend: of the labels.
        about: all that the result depends on; a resumed job must agree in it.
        tags: provenance, written into the files.
        overwrite: replace files that are there.
        restart: give up the beginning of another job on the same output.
        inputs: files whose states ``about`` tells; those of this machine need not be among them.
        beside: ``beside(units)`` writes what else is made of the finished units, before the map is
            there; None: nothing.
    """

    raster: Raster
    out: Path
    legend: Legend
    about: About
    tags: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    restart: bool = False
    inputs: tuple[Path, ...] = ()
    beside: Callable[[Iterator[UnitResult]], None] | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of ``about`` in canonical JSON."""
        return hashlib.sha256(json.dumps(self.about, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Report:
    """What became of a job.

    Attributes:
        job: the job.
        error: why there is no map, else None.
        fresh: the map was made now; False: the same job had made it before.
        resumed: work units that an earlier attempt had done.
    """

    job: MapJob
    error: MapsrError | None = None
    fresh: bool = True
    resumed: int = 0


class _Open:
    """A job under way."""

    def __init__(self, job: MapJob) -> None:
        self.job = job
        self.work = WorkFolder(job.out)
        self.done = self.work.open(job.about, restart=job.restart)
        self.waiting = len(job.raster.units) - len(self.done)
        self.resumed = len(self.done)
        self.error: MapsrError | None = None
        self.end: Future[None] | None = None
        self._states = {**job.about.get(INPUTS, {}), **job.about.get(PRODUCTS, {})}

    def fail(self, error: MapsrError) -> None:
        """End with an error; where a file changed meanwhile, that is the cause."""
        try:
            self._require_unchanged()
        except MapsrError as cause:
            error = cause
        self.error = error
        self.work.close()

    def _require_unchanged(self) -> None:
        if changed := changed_files(self._states, self.job.inputs, gone=False):
            self.work.remove()  # parts of it are of other inputs than the rest
            raise RasterError(
                f"{', '.join(changed[:3])} changed while {self.job.out} was made from it, so that "
                "the map would be of both: nothing is written; the same command begins again."
            )

    def _require_same(self) -> None:
        if gone := changed_files(self._states, self.job.inputs):
            self._require_unchanged()
            raise RasterError(
                f"{', '.join(gone[:3])} can't be read any more, so that nobody can say whether "
                f"{self.job.out} is of one state of it: what is done is kept, and once it can be "
                "read, the same command goes on from there."
            )

    def assemble(self, progress: Progress) -> None:
        job = self.job
        tags = {**job.tags, JOB_TAG: job.hash}
        self._require_same()
        if job.beside is not None:
            job.beside(self.work.load(unit.number) for unit in job.raster.units)
        parts = job.raster, self.work, job.out, job.legend, tags, progress
        assemble(*parts, overwrite=job.overwrite)
        self.work.remove()


def run_jobs(
    jobs: Sequence[MapJob], engine: Engine, progress: Progress, what: str = "map"
) -> list[Report]:
    """Do jobs; one that fails does not keep the others from being done.

    Memory: the engine's, and 32 MiB for GDAL's blocks (more for wide files that are not tiled); the
    finished units lie in a hidden folder beside the output until the map is whole.

    Args:
        jobs: to be done.
        engine: does their units.
        progress: shows the work.
        what: the work is called.

    Returns:
        A report for each job, in their order.
    """
    return _Runner(jobs, engine, progress).run(what)


class _Runner:
    def __init__(self, jobs: Sequence[MapJob], engine: Engine, progress: Progress) -> None:
        self._jobs = jobs
        self._engine = engine
        self._progress = progress
        self._open: dict[int, _Open] = {}
        self._reports: dict[int, Report] = {}
        # one thread puts finished maps together while others are being scored
        self._finisher = ThreadPoolExecutor(1, "mapsr-finish")
        self._ends: deque[Future[None]] = deque()
        self._done = 0

    def run(self, what: str) -> list[Report]:
        total = sum(len(job.raster.units) for job in self._jobs)
        try:
            with block_cache(cache_mib(job.raster.strip_mib for job in self._jobs)):
                for _ in self._progress.track(self._units(), what, total):
                    pass
                self._finisher.shutdown(wait=True)
            return [self._report(number) for number in range(len(self._jobs))]
        finally:
            self._finisher.shutdown(wait=True, cancel_futures=True)
            for one in self._open.values():
                one.work.close()

    def _units(self) -> Iterator[None]:
        """Yield once for each unit that is done, now or before."""
        for task, result in self._engine.run(self._tasks()):
            one = self._open[task.job]
            if one.error is None:
                try:
                    if isinstance(result, MapsrError):
                        raise result
                    one.work.save(task.unit.number, result)
                except MapsrError as error:
                    one.fail(error)
            one.waiting -= 1
            self._settle(one)
            yield from self._counted()
            yield
        yield from self._counted()

    def _tasks(self) -> Iterator[UnitTask]:
        for number, job in enumerate(self._jobs):
            try:
                one = self._start(job)
            except MapsrError as error:
                self._reports[number] = Report(job, error)
                continue
            if one is None:
                self._reports[number] = Report(job, fresh=False)
                self._done += len(job.raster.units)
                continue
            self._open[number] = one
            self._done += len(one.done)
            self._settle(one)
            for unit in job.raster.units:
                if unit.number not in one.done and one.error is None:
                    yield UnitTask(number, job.raster, unit)

    def _start(self, job: MapJob) -> _Open | None:
        """Open a job; None where its map is there."""
        if job.out.is_dir():
            raise ConfigError(f"{job.out} is a folder; choose another out=.")
        one = _Open(job)
        clear_partial(job.out.parent)
        made = read_tags(job.out).get(JOB_TAG) if job.out.exists() else None
        if made == job.hash and not job.overwrite:
            one.work.remove()
            return None
        for path in output_paths(job.out, job.raster.outputs).values():
            if path.exists() and not job.overwrite and read_tags(path).get(JOB_TAG) != job.hash:
                one.work.close()
                raise ConfigError(
                    f"{path} is there already, made from other inputs or settings: choose another "
                    "out=, or set overwrite=true."
                )
            if not job.overwrite:
                self._clear(path, one)
        if one.resumed:
            logger.warning(
                "%s: going on, %d of %d units are done", job.out, one.resumed, len(job.raster.units)
            )
        return one

    def _clear(self, path: Path, one: _Open) -> None:
        """Refuse side files of others before the work, not after it."""
        try:
            clear_sidecars(path, overwrite=False)
        except MapsrError:
            one.work.close()
            raise

    def _settle(self, one: _Open) -> None:
        """Put a map together once its last unit is there."""
        if one.error is None and one.waiting == 0 and one.end is None:
            one.end = self._finisher.submit(one.assemble, self._progress)
            self._ends.append(one.end)
            if len(self._ends) > _BACKLOG:
                wait([self._ends.popleft()])

    def _counted(self) -> Iterator[None]:
        """Yield for units that were done before."""
        count, self._done = self._done, 0
        yield from (None for _ in range(count))

    def _report(self, number: int) -> Report:
        if number in self._reports:
            return self._reports[number]
        one = self._open[number]
        error = one.error
        if error is None:
            assert one.end is not None, f"{one.waiting} units of {one.job.out} never came back"
            try:
                one.end.result()
            except MapsrError as failure:
                error = failure
        return Report(one.job, error, resumed=one.resumed)
