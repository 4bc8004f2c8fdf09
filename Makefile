# Every target sets up what it needs: a fresh clone can start with `make demo` or `make test`.
.PHONY: demo test lint format docs bench install clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
# bench_classes.py wants a folder for its gigabytes.
BENCHES := $(filter-out %/bench_classes.py,$(wildcard benchmarks/bench_*.py))
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

demo: $(VENV)/.installed
	$(BIN)/backlight demo

test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: install
	$(PIP_INSTALL) -e ".[bench]"
	set -e; for script in $(BENCHES); do echo "== $$script"; $(BIN)/python $$script; done

install: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e ".[dev]"
	touch $(VENV)/.installed $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Backlight needs Python 3.11 or newer: make PYTHON=/path/to/python ...")'
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis
