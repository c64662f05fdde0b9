# `make run` and `make test` need Python 3.11 or later and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

# What commands import: its bytecode is written once, also where the shell asks Python to write none,
# so that a start takes half of the time.
COMMON := import hydra, lightning, rasterio.warp, scipy.sparse.linalg, skimage.segmentation, timm, mapsr.cli.map, mapsr.experiment, mapsr.region

.PHONY: install run test soak mutants fuzz bench check format docs lock picture qgis clean

install: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("mapsr needs Python 3.11 or later, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "$(COMMON)"
	touch $@

# The main job on drawn scenes: no network, no weights, about half a minute; ends with its page,
# which any browser opens.
run: install
	$(BIN)/mapsr run output=outputs/first
	$(BIN)/mapsr page outputs/first

# One process a core up to four, each with the fixtures of its own files; in order of the files, since
# those with the longest tests have few and would come last.
test: install
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

# Long tests: many kills and resumes of one job.
soak: install
	$(BIN)/python -m pytest -m soak

MINUTES ?= 10
SEED ?= 0
ROOMS ?=
# Changes the code of the core at random and prints which changes no test notices. cosmic-ray, which
# makes them, lies apart from the environment.
mutants: install
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(VENV)/mutants "cosmic-ray>=8.7"
	PYTHONPATH=$(VENV)/mutants $(BIN)/python scripts/mutants.py --minutes $(MINUTES) --seed $(SEED) $(ROOMS)

# Damaged input of every kind, for so many minutes; SEED=N draws others.
fuzz: install
	PYTHONPATH=tests $(BIN)/python tests/cli/fuzz.py --minutes $(MINUTES) --seed $(SEED)

# All benchmarks into one table, outputs/bench/bench.md: half an hour to an hour on two cores.
bench: install
	$(BIN)/mapsr bench all --output outputs/bench

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The documentation site; a warning is an error. A browser opens outputs/site/index.html.
docs: install
	$(BIN)/python -m mkdocs build --strict --config-file scripts/docs/mkdocs.yml

# Pins every dependency for every platform; names no index, so that any registry will do.
lock: install
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		--all-extras --group dev --group docs --output-file requirements.lock pyproject.toml

# The README's picture, from the default run.
picture: install
	$(BIN)/mapsr run logger=none output=outputs/picture overwrite=true
	cp outputs/picture/figures/score_0.png experiments/overview.png

# The plugin for QGIS as a zip, which its plugin manager installs (docs/qgis.md); needs Python alone.
qgis:
	$(PYTHON) scripts/qgis/pack.py dist/mapsr_provider.zip

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
