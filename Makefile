# Every target sets itself up on a machine that has only Python 3.11 or newer; re-runs skip the set-up.
PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
PY := $(VENV)/Scripts/python
else
PY := $(VENV)/bin/python
endif
INSTALLED := $(VENV)/installed.stamp
# DATA=folder runs the demo on your own recordings, laid out as the README shows.
DATA ?=
# A run belongs to its data, so yours have a folder of their own; OUTPUT=folder chooses another.
OUTPUT ?= demo_output$(if $(DATA),/own)

.PHONY: demo test check format clean

demo: $(INSTALLED)
	$(PY) -m bioacoustics demo --output_dir "$(OUTPUT)" $(if $(DATA),--data_dir "$(DATA)")

test: $(INSTALLED)
	$(PY) -m pytest -n 2 --dist loadfile

check: $(INSTALLED)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

format: $(INSTALLED)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

# The stamp is older than its causes when dependencies change: only then is anything installed again.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (a few minutes the first time, then never again until dependencies change)"
	$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed, this is ' + sys.version) if sys.version_info < (3, 11) else None"
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(PY) -c "import pathlib; pathlib.Path('$(INSTALLED)').touch()"

clean:
	rm -rf $(VENV) demo_output .pytest_cache .mypy_cache .ruff_cache .hypothesis
