"""What metrics.json, statistics.json, plan.json and the tables of a labelling hold."""

from collections.abc import Sequence

import numpy as np

from mapsr.evaluation import Confusion, Scores
from mapsr.labelling import Plan, Statistics
from mapsr.mapping.settings import WorkSettings
from mapsr.quoting import csv_text
from mapsr.rounds.loop import Expanded, Round, Voter
from mapsr.rounds.votes import Counted
from mapsr.settings import Plain, kind_of


def metrics_of(
    settings: WorkSettings,
    plan: Plan,
    expanded: Expanded,
    final: tuple[Confusion, Confusion] | None,
) -> Plain:
    """Everything in metrics.json but the name and the seconds; see docs/labelling.md.

    Args:
        settings: of the command.
        plan: of the region.
        expanded: what the labelling came to.
        final: all truth, and that for validation, against the final map; None: there is no map.
    """
    names = plan.target.names
    last = expanded.rounds[-1].labels
    whole, part = final or (last.statistics.confusion, last.validation)
    method = kind_of(settings.method)
    rejected = expanded.rejected
    stop = {"rule": expanded.rule, "reason": expanded.reason} if expanded.rule else None
    dropped = None
    if rejected is not None:
        dropped = {"round": rejected.number, "model": _model(rejected, method, names)}
    return {
        "classes": list(names),
        "products": [one.name for one in plan.products],
        "pixels": last.statistics.pixels,
        "patches": last.statistics.patches,
        "bare_patches": last.statistics.bare_patches,
        "rounds": [
            _round(expanded.rounds, number, method, names) for number in range(len(expanded.rounds))
        ],
        "rejected": dropped,
        "stop": stop,
        "final": {
            "oa": _oa(whole),
            "round": len(expanded.rounds) - 1,
            "scores": _scores(whole, names),
            **_parts(whole, part),
        },
        "statistics": last.statistics.as_dict(),
    }


def plan_dict(plan: Plan) -> Plain:
    """What plan.json holds: levels, weights, thresholds and priority."""
    names = plan.target.names
    return {
        "target": plan.target.name,
        "resolution_m": plan.resolution_m,
        "products": [one.as_dict() for one in plan.standings],
        "priority": [names[index] for index in plan.rule.priority],
        "thresholds_tenths": dict(zip(names, plan.rule.thresholds, strict=True)),
        "findings": [f"{one.topic} {one.text}" for one in plan.findings()],
    }


def tables_of(statistics: Statistics, classes: Sequence[str]) -> dict[str, str]:
    """CSV by file name: trusted shares by round and class, products, and pairs of products."""
    values = statistics.as_dict()
    rounds: list[list[object]] = [["round", "class", "share"]]
    by_round = np.flatnonzero(statistics.trusted.any(axis=1)).max(initial=0)
    for number in range(by_round + 1):
        for name, pixels in zip(classes, statistics.trusted[number].tolist(), strict=True):
            rounds.append([number, name, _share(pixels, statistics.pixels)])
    products: list[list[object]] = [
        ["product", "covered", "votes", "oa", "repaired", "skipped", "unmapped", *classes]
    ]
    for name, one in _items(values["products"]):
        unmapped = " ".join(f"{code}:{pixels}" for code, pixels in one["unmapped"].items())
        shares = [one["trusted_by_class"][label] for label in classes]
        facts = [one["covered"], one["votes"], one["truth"]["oa"], one["repaired"], one["skipped"]]
        products.append([name, *facts, unmapped, *shares])
    pairs: list[list[object]] = [["product", "other", "both", "agree", "conflict"]]
    for pair in statistics.as_dict()["pairs"]:  # type: ignore[attr-defined]
        pairs.append([*pair["products"], pair["both"], pair["agree"], pair["conflict"]])
    found = {"trusted.csv": rounds, "products.csv": products, "pairs.csv": pairs}
    return {name: csv_text(rows) for name, rows in found.items()}


def _round(rounds: Sequence[Round], number: int, method: str, names: tuple[str, ...]) -> Plain:
    labels, voter = rounds[number].labels, rounds[number].voter
    statistics = labels.statistics
    trusted = int(statistics.trusted.sum())
    before = int(rounds[number - 1].labels.statistics.trusted.sum()) if number else 0
    found = statistics.scores()
    return {
        "round": number,
        "trusted": _share(trusted, statistics.pixels),
        "newly_trusted": _share(trusted - before, statistics.pixels),
        "oa_trusted": _trusted(statistics.confusion)["oa_trusted"],
        "ratio": statistics.ratio,
        "trusted_by_class": statistics.as_dict()["trusted_by_class"],
        "scores": found.as_dict(names) if found else None,
        "scores_all": _scores(statistics.confusion, names),
        **_label_parts(labels),
        "model": None if voter is None else _model(voter, method, names),
    }


def _model(voter: Voter, method: str, names: tuple[str, ...]) -> Plain:
    judged = voter.judged
    return {
        "method": method,
        "trained_parameters": voter.parameters,
        "weight_tenths": voter.weight,
        "weight_from": voter.weight_from,
        "value": judged.value,
        "oa": _oa(judged.confusion),
        "scores": _scores(judged.confusion, names),
        **_parts(judged.confusion, judged.validation),
        "agreement": judged.agreement,
        "seconds": voter.seconds,
    }


def _label_parts(labels: Counted) -> Plain:
    """Validation and test part of the scores of trusted pixels."""
    whole, part = labels.statistics.confusion, labels.validation
    rest = Confusion(whole.counts - part.counts)
    return {
        name: _trusted(one) if one.counts.any() else None
        for name, one in (("validation", part), ("test", rest))
    }


def _trusted(confusion: Confusion) -> Plain:
    inside = confusion.counts[:, :-1]
    pixels, trusted = int(confusion.counts.sum()), int(inside.sum())
    right = int(inside.diagonal().sum())
    return {
        "oa_trusted": _share(right, trusted),
        "ratio": _share(trusted, pixels),
        "pixels": pixels,
    }


def _parts(whole: Confusion, part: Confusion) -> Plain:
    """Validation and test part of the accuracy of a map."""
    rest = Confusion(whole.counts - part.counts)
    return {
        name: {"oa": _oa(one), "pixels": int(one.counts.sum())} if one.counts.any() else None
        for name, one in (("validation", part), ("test", rest))
    }


def _oa(confusion: Confusion) -> float | None:
    counts = confusion.counts
    return _share(int(counts.diagonal().sum()), int(counts.sum()))


def _scores(confusion: Confusion, names: tuple[str, ...]) -> Plain | None:
    return Scores.of(confusion).as_dict(names) if confusion.counts.any() else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _items(value: object) -> Sequence[tuple[str, Plain]]:
    assert isinstance(value, dict), "a mapping by name"
    return list(value.items())


def wrong_labelling(metrics: object) -> str | None:
    """Say what is wrong with the content of a labelling's metrics.json, None where all is well."""
    if not isinstance(metrics, dict) or metrics.get("command") != "label":
        return "it is not of mapsr label"
    rounds, final = metrics.get("rounds"), metrics.get("final")
    if (
        not isinstance(rounds, list)
        or not rounds
        or not all(isinstance(one, dict) for one in rounds)
    ):
        return "it has no rounds"
    return None if isinstance(final, dict) else "it has no final scores"
