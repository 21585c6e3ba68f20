# Every verb makes the environment it needs in .venv and uses it again the next time.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export SCIPY_ARRAY_API := 1

.PHONY: demo test lint docs docs-test bench clean

demo: $(VENV)/.demo
	$(BIN)/python -m geofeat demo

# Set GEOFEAT_TEST_DATA to the folder of real data (benchmarks/README.md) to run what needs it.
test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# Looks at every page of the built site in Chromium, where there is one.
docs-test: docs $(VENV)/.test
	GEOFEAT_SITE=docs/_build/html $(BIN)/python -m pytest -rs tests/site

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/encoders.py
	$(BIN)/python benchmarks/embedders.py
	$(BIN)/python benchmarks/harmonic_features.py
	$(BIN)/python benchmarks/rasters.py
	$(BIN)/python benchmarks/bulk_extraction.py
	$(BIN)/python benchmarks/encoders_gpu.py
	$(BIN)/python benchmarks/kriging.py
	$(BIN)/python benchmarks/real_data.py

clean:
	rm -rf $(VENV) build dist demo docs/_build docs/generated docs/auto_gallery
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "geofeat needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e ".[plot]"
	touch $@

# The CPU build of torch, so that scikit-learn's array API checks really run.
$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet "torch==2.13.0" -e ".[test]"
	touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet "torch==2.13.0" -e ".[docs]"
	touch $@

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group bench
	touch $@
