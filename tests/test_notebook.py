"""The notebook of the documentation, executed cell by cell."""

import json
import os

import pytest
from documents import NOTEBOOKS, ROOT


def texts(cell):
    """What a cell printed or showed, as text."""
    shown = (one.get("text") or one.get("data", {}).get("text/plain", "") for one in cell.outputs)
    return "".join(shown)


def test_notebooks_are_kept_without_outputs():
    assert NOTEBOOKS == ["docs/notebooks/county.ipynb"]
    for path in NOTEBOOKS:
        for cell in json.loads((ROOT / path).read_text())["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None, path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the kernel's own packages
def test_the_notebook_goes_from_county_data_to_a_map_to_areas(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel (group dev)")
    pytest.importorskip("ipykernel", reason="needs nbclient and ipykernel (group dev)")
    import nbformat

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(ROOT / NOTEBOOKS[0], as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    said = "\n".join(texts(cell) for cell in notebook.cells if cell.cell_type == "code")
    assert "'tree canopy'" in said and "map_record.json" in said
    assert said.count(" ha, product ") == 4
    accuracies = [
        float(line.split()[2].rstrip(",")) for line in said.splitlines() if "overall" in line
    ]
    assert len(accuracies) == 2 and min(accuracies) > 0.5
    pictures = [one for cell in notebook.cells for one in cell.get("outputs", ()) if "data" in one]
    assert any("image/png" in one["data"] for one in pictures)
