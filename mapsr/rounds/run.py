"""Run a labelling: vote, expand, fill, and record, into a run folder."""

import logging
from pathlib import Path

from mapsr.files import write_json, write_text
from mapsr.progress import Progress
from mapsr.redaction import redact_all
from mapsr.rounds.loop import Expanded, Round, expand
from mapsr.rounds.metrics import metrics_of, plan_dict, tables_of, wrong_labelling
from mapsr.rounds.region import LabelRegion, open_region
from mapsr.rounds.settings import LabelSettings
from mapsr.rounds.votes import Polls
from mapsr.settings import Plain, kind_of, plain
from mapsr.tracking import RunFolder, Stopwatch, collect_record, finished_metrics

logger = logging.getLogger(__name__)


def run_labelling(
    settings: LabelSettings, progress: Progress, region: LabelRegion | None = None
) -> tuple[Path, Plain, bool]:
    """Run a labelling, or go on with one that was killed.

    Args:
        settings: everything that it needs.
        progress: shows long work.
        region: images, products and truth, where they are opened already.

    Returns:
        The run folder, what stands in its metrics.json, and whether it was made now; False: the
        same run was finished before.

    Raises:
        MapsrError: with one sentence on what is wrong; what is done is kept.
    """
    region = region or open_region(settings)
    fingerprint = settings.fingerprint(region.states())
    fingerprint["weights"] = plan_dict(region.plan)
    path = settings.path(fingerprint)
    if not settings.overwrite:
        done = finished_metrics(path, fingerprint, wrong_labelling)
        if done is not None:
            return path, done, False
    folder = RunFolder.open(path, redact_all(plain(settings)), fingerprint, settings.overwrite)
    watch = Stopwatch()
    with folder:
        metrics = _results(settings, region, folder, watch, progress)
    return path, metrics, True


def _results(
    settings: LabelSettings,
    region: LabelRegion,
    folder: RunFolder,
    watch: Stopwatch,
    progress: Progress,
) -> Plain:
    """Do everything; return what stands in metrics.json."""
    write_json(folder.path / "plan.json", plan_dict(region.plan))
    polls = Polls(settings, region, folder.path, progress)
    with watch("vote"):
        first = polls.vote(0)
    expanded, final = Expanded((Round(first, None),)), None
    runtime = settings.runtime(watch)
    if settings.rounds:
        expanded = expand(polls, first, runtime)
        if expanded.basis is not None:
            with watch("fill"):
                final = polls.fill(expanded.basis)
    metrics = metrics_of(settings, region.plan, expanded, final)
    last = expanded.rounds[-1].labels.statistics
    write_json(folder.path / "statistics.json", last.as_dict())
    for name, text in tables_of(last, region.plan.target.names).items():
        write_text(folder.path / name, text)
    folder.write_record(_record(settings, region, expanded, watch, str(runtime.device)))
    seconds = {stage: round(value, 3) for stage, value in watch.seconds.items()}
    whole = {"command": "label", "name": settings.name, **metrics, "seconds": seconds}
    folder.write_metrics(whole)
    return whole


def _record(
    settings: LabelSettings,
    region: LabelRegion,
    expanded: Expanded,
    watch: Stopwatch,
    device: str,
) -> Plain:
    """What record.json holds."""
    record = collect_record(
        watch=watch, device=device, seeds={"run": settings.seed}, inputs=region.files
    )
    return record | {
        "method": kind_of(settings.method) if settings.rounds else None,
        "plan": plan_dict(region.plan),
        "images": [image.name for image in region.images],
        "stop": {"rule": expanded.rule, "reason": expanded.reason},
    }
