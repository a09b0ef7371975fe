# Two commands on a fresh machine: `make demo` and `make test`. Both create .venv first if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export GENAS_DATA ?= $(abspath ../shared/data)

.PHONY: setup demo test test-zoo bench cuda-tests gpu lint types layers unit lock clean

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "genas needs Python 3.11 or newer; give one with: make PYTHON=/path/to/python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(BIN)/genas search --data digits --run runs/demo

test: setup lint types layers unit

lint: setup
	$(BIN)/ruff check src tests benchmarks studies examples
	$(BIN)/ruff format --check src tests benchmarks studies examples

types: setup
	$(BIN)/mypy

layers: setup
	$(BIN)/lint-imports

unit: setup
	$(BIN)/pytest

# timm's own checks on every published network; `make test` takes two of them
test-zoo: setup
	$(BIN)/pytest tests/spaces/zoo/test_timm_suite.py -m "every_zoo_model or not every_zoo_model"

# Takes the newest versions that pyproject.toml allows and writes them down; run it in a fresh .venv.
lock:
	$(BIN)/python -m pip install --quiet --upgrade . --group dev
	$(BIN)/python scripts/lock.py > requirements.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache

# by hand: about ten minutes on two cores; its figures are only worth something on a quiet machine
bench: setup
	$(BIN)/python -W ignore benchmarks/run.py --out benchmarks/latest.json

# on a machine with a GPU; they skip where there is none
cuda-tests: setup
	$(BIN)/pytest -m cuda -n 0 -rs tests/cuda

# on a machine with a GPU: at most nine minutes, results in $(OUT)
gpu: OUT ?= runs/gpu
gpu: setup
	$(BIN)/python -W ignore benchmarks/gpu.py --out $(OUT)
