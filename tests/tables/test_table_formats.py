"""Tables as they are written, held against texts that were written by hand."""

import csv
import io
import re
from dataclasses import replace

import pytest

from mapsr.evaluation.differences import Difference
from mapsr.tables.definitions import AVERAGE, Column, Row, TableDefinition
from mapsr.tables.formats import Provenance, csv_text, escaped, latex, markdown
from mapsr.tables.results import Entry, Run, average_of, entry_of

PROVENANCE = Provenance(("chesapeake of de in /data", "chesapeake of ny in /data"), ("0.1.0",))

WIDE = TableDefinition(
    name="wide",
    title="Wide",
    caption="Two states.",
    overrides=(),
    rows=(
        Row("kmeans", "K-means & voting", "none", (), (0,), {"de": 0.327, AVERAGE: 0.4}, 0),
        Row("ours", "Ours†", "few", (), (0, 1), {"de": 0.6091}, 4000),
    ),
    columns=(Column("de", "Delaware", ()), Column("ny", "New York", ())),
    average="Average",
    show=("miou",),
    reference=None,
    notes=("† Nothing is trained.",),
)
PLAIN = replace(
    WIDE,
    name="plain",
    rows=tuple(replace(row, category="", published_parameters=None) for row in WIDE.rows),
    columns=(Column("", "", ()),),
    average=None,
    show=("miou", "oa", "iou", "coarse"),
    notes=(),
)


def run(path, seed, miou, parameters, **more):
    metrics = {
        "miou": miou,
        "oa": 0.8,
        "iou": {"water": 0.25, "tree canopy": None},
        "intervals": {"miou": [miou - 0.1, miou + 0.1], "level": 0.95, "scenes": 8},
        "coarse": {"miou": 0.3},
        "crosswalk": "paraformer",
        "trained_parameters": parameters,
        "seconds": {"fit": 1.5, "map": 0.25},
    }
    return Run(seed, f"runs/{path}-s{seed}", metrics | more)


def wide_results():
    kmeans = entry_of([run("kmeans-de", 0, 0.3, 0)], 0.327, 0)
    failed = entry_of([], None, 0, ["Seed 0 failed: no | scene."])
    ours = [run("ours-de", 0, 0.60, 3072), run("ours-de", 1, 0.62, 3072)]
    entries = {
        ("kmeans", "de"): kmeans,
        ("kmeans", "ny"): failed,
        ("kmeans", AVERAGE): average_of([kmeans, failed], 0.4),
        ("ours", "de"): entry_of(ours, 0.6091, 4000),
        ("ours", "ny"): entry_of([run("ours-ny", 0, 0.5, 3072)], None, 4000),
    }
    parts = [entries["ours", "de"], entries["ours", "ny"]]
    return entries | {("ours", AVERAGE): average_of(parts)}


def plain_results():
    return {
        ("kmeans", ""): entry_of([run("kmeans", 0, 0.3, 0)]),
        ("ours", ""): entry_of([run("ours", 0, 0.60, 3072), run("ours", 1, 0.62, 3072)]),
    }


MARKDOWN = """\
# Wide

Two states.

| Category | Method | Parameters (M): published | Parameters (M): trained | \
Delaware: published | Delaware: mIoU | New York: mIoU | Average: published | Average: mIoU |
| --- | --- | --: | --: | --: | --: | --: | --: | --: |
| none | K-means & voting | 0 | 0 | 32.70 | 30.00 [20.00, 40.00] | – (1) | 40.00 | – |
| few | Ours† | 0.004 | 0.003 | 60.91 | 61.00 ± 1.41 [50.00, 70.00] | 50.00 [40.00, 60.00] | \
– | 55.50 |

Scores are percentages, means over the seeds. ± is the sample standard deviation of mIoU over \
seeds (none with one seed); [low, high] is the 95 % bootstrap interval of mIoU over the scored \
scenes, of the run with the first seed. Published mIoU and parameters are as printed. – stands \
where there is no result.

(1) Seed 0 failed: no | scene.

- † Nothing is trained.

## Runs

| row | column | seed | mIoU | run |
| --- | --- | --: | --: | --- |
| kmeans | de | 0 | 30.00 | `runs/kmeans-de-s0` |
| ours | de | 0 | 60.00 | `runs/ours-de-s0` |
| ours | de | 1 | 62.00 | `runs/ours-de-s1` |
| ours | ny | 0 | 50.00 | `runs/ours-ny-s0` |

mapsr 0.1.0; data: chesapeake of de in /data; chesapeake of ny in /data.
"""

LATEX = r"""% mapsr table plain: mapsr 0.1.0; data: chesapeake of de in /data; ¶
chesapeake of ny in /data.
% needs \usepackage{booktabs,graphicx}
\begin{table}[t]
\centering
\caption{Wide. Two states. Scores are percentages, means over the seeds. $\pm$ is the sample ¶
standard deviation of mIoU over seeds (none with one seed); {[}low, high] is the 95 \% bootstrap ¶
interval of mIoU over the scored scenes, of the run with the first seed. -- stands where there is ¶
no result.}
\label{tab:plain}
\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%
\begin{tabular}{lrrrrrr}
\toprule
\multicolumn{1}{c}{} & \multicolumn{1}{c}{Parameters (M)} & \multicolumn{5}{c}{Scores (\%)} \\
\cmidrule(lr){2-2}\cmidrule(lr){3-7}
Method & trained & mIoU & OA & water & tree canopy & coarse product \\
\midrule
K-means \& voting & 0 & 30.00 & 80.00 & 25.00 & -- & 30.00 \\
 &  & [20.00, 40.00] &  &  &  &  \\
Ours$\dagger$ & 0.003 & 61.00 $\pm$ 1.41 & 80.00 & 25.00 & -- & 30.00 \\
 &  & [50.00, 70.00] &  &  &  &  \\
\bottomrule
\end{tabular}}
\end{table}
% kmeans, seed 0: runs/kmeans-s0
% ours, seed 0: runs/ours-s0
% ours, seed 1: runs/ours-s1
""".replace("¶\n", "")

CSV = """\
row,label,category,column,seeds,trained_parameters,published_parameters,miou,oa,seed_std,ci_low,\
ci_high,published,coarse_miou,crosswalk,scenes,seconds,difference,difference_low,difference_high,\
remarks,run,iou_water,iou_tree_canopy
kmeans,K-means & voting,none,de,0,0,0,0.300000,0.800000,,0.200000,0.400000,0.327000,0.300000,\
paraformer,8,1.750000,,,,,runs/kmeans-de-s0,0.250000,
kmeans,K-means & voting,none,ny,,,0,,,,,,,,,,,,,,Seed 0 failed: no | scene.,,,
kmeans,K-means & voting,none,average,,,0,,,,,,0.400000,,,,,,,,,,,
ours,Ours†,few,de,0 1,3072,4000,0.610000,0.800000,0.014142,0.500000,0.700000,0.609100,0.300000,\
paraformer,8,1.750000,,,,,runs/ours-de-s0,0.250000,
ours,Ours†,few,ny,0,3072,4000,0.500000,0.800000,,0.400000,0.600000,,0.300000,paraformer,8,\
1.750000,,,,,runs/ours-ny-s0,0.250000,
ours,Ours†,few,average,,3072,4000,0.555000,0.800000,,,,,,paraformer,,1.750000,,,,,\
runs/ours-de-s0; runs/ours-ny-s0,,
"""


def test_markdown_is_what_was_written_by_hand():
    assert markdown(WIDE, wide_results(), PROVENANCE) == MARKDOWN


def test_latex_is_what_was_written_by_hand():
    assert latex(PLAIN, plain_results(), PROVENANCE) == LATEX


def test_csv_is_what_was_written_by_hand():
    assert csv_text(WIDE, wide_results()) == CSV


def test_a_wide_latex_table_is_whole():
    text = latex(WIDE, wide_results(), PROVENANCE)
    lines = text.splitlines()
    assert lines[2] == r"\begin{table}[t]"
    wider = replace(WIDE, columns=(*WIDE.columns, Column("md", "Maryland", ())), reference="ours")
    results = wide_results() | {(row, "md"): Entry() for row in ("kmeans", "ours")}
    for found, environment in ((text, "table"), (latex(wider, results, PROVENANCE), "table*")):
        code = re.sub(r"(?<!\\)%.*", "", found)
        assert code.count("{") - code.count(r"\{") == code.count("}") - code.count(r"\}")
        assert re.findall(r"\\(begin|end)\{([a-z*]+)\}", code) == [
            ("begin", environment),
            ("begin", "tabular"),
            ("end", "tabular"),
            ("end", environment),
        ]
        width = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", code)[1])
        rows = [line for line in code.splitlines() if line.endswith(r"\\")]
        for row in rows:
            spans = [int(span) - 1 for span in re.findall(r"\\multicolumn\{(\d+)\}", row)]
            assert len(re.findall(r"(?<!\\)&", row)) + 1 + sum(spans) == width
            assert not row.startswith(("[", "*"))
        # a new category stands apart
        assert code.count(r"\addlinespace") == 1


def test_a_latex_caption_has_one_number():
    for title in ("Table I. Trained parameters", "Table II on patches. Trained parameters"):
        text = latex(replace(PLAIN, title=title), plain_results(), PROVENANCE)
        assert r"\caption{Trained parameters. " in text
    text = latex(replace(PLAIN, title="Tables of the house"), plain_results(), PROVENANCE)
    assert r"\caption{Tables of the house. " in text


def test_signs_of_latex_are_escaped():
    assert escaped(r"a_b & 5 % {x} # $ ~ ^ \ †") == (
        r"a\_b \& 5 \% \{x\} \# \$ \textasciitilde{} \textasciicircum{} \textbackslash{} $\dagger$"
    )


def test_pipes_do_not_break_markdown():
    row = replace(PLAIN.rows[0], label="a | b")
    text = markdown(replace(PLAIN, rows=(row,)), plain_results(), PROVENANCE)
    assert r"| a \| b |" in text


def test_a_difference_stands_beside_its_reference():
    definition = replace(PLAIN, reference="kmeans", show=("miou",))
    results = plain_results()
    difference = Difference(0.3, 0.2, 0.4, 0.95)
    results["ours", ""] = replace(results["ours", ""], difference=difference)
    text = markdown(definition, results, PROVENANCE)
    assert "| K-means & voting | 0 | 30.00 [20.00, 40.00] | reference |" in text
    assert "| Ours† | 0.003 | 61.00 ± 1.41 [50.00, 70.00] | 30.00 [20.00, 40.00] |" in text
    assert "The difference is that of mIoU to K-means & voting, between runs of one seed" in text
    last = list(csv.DictReader(io.StringIO(csv_text(definition, results))))[-1]
    keys = ("difference", "difference_low", "difference_high")
    assert [float(last[key]) for key in keys] == pytest.approx([0.3, 0.2, 0.4])


def test_an_empty_table_keeps_its_rows():
    results = {("kmeans", ""): Entry(), ("ours", ""): Entry()}
    text = markdown(PLAIN, results, Provenance((), ()))
    assert "| K-means & voting | – | – | – | – |" in text
    assert "data: none seen." in text
    assert len(csv_text(PLAIN, results).splitlines()) == 3
