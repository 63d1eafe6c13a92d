# Every target sets up the virtual environment first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PRESET ?= quick
FAMILY ?= pop
TASK ?= logistic
ALGORITHM ?= episodic_ppo
ARGS ?=

# What trains each family.
TRAIN_pop = agents.train $(PRESET) $(if $(filter-out episodic_ppo,$(ALGORITHM)),--algorithm $(ALGORITHM))
TRAIN_rover-direction = agents.rover.train direction
TRAIN_rover = agents.rover.train policy
TRAIN_lto = agents.lto.train $(TASK)

.DEFAULT_GOAL := help
.PHONY: help train test benchmark results tables ablations bench-speed docs package check format lint type

help:  ## Lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

train: $(VENV)/installed  ## Trains a policy: make train [FAMILY=pop|rover-direction|rover|lto] [PRESET=...|TASK=...] [ALGORITHM=sac|...] [ARGS=...]
	$(BIN)/python -m $(or $(TRAIN_$(FAMILY)),$(error FAMILY must be pop, rover-direction, rover or lto)) $(ARGS)

test: $(VENV)/installed  ## Runs the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto $(ARGS)

benchmark: $(VENV)/installed  ## Judges the policy beside classical optimizers, by default on the 47 VLSE functions
	$(BIN)/python -m benchmarks.run $(ARGS)

results: $(VENV)/installed  ## Runs what is missing of all studies and writes the documentation's tables from them
	$(BIN)/python -m benchmarks.studies $(ARGS)

tables: $(VENV)/installed  ## Writes the tables of the README and the documentation from docs/results/*.json
	$(BIN)/python -m benchmarks.tables $(ARGS)

ablations: $(VENV)/installed  ## Measures what each part of the design is worth
	$(BIN)/python -m benchmarks.ablations $(ARGS)

bench-speed: $(VENV)/installed  ## Measures the speed of environment, training and minimize
	$(BIN)/python -m benchmarks.speed $(ARGS)

docs: $(VENV)/installed  ## Builds the documentation, docs/_build/html/index.html
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going docs docs/_build/html

package: $(VENV)/installed  ## Builds what goes to PyPI, in build/dist, and checks it
	rm -rf build/dist build/lib && mkdir -p build
	$(BIN)/python -m build --no-isolation --outdir build/dist > build/log || (cat build/log && exit 1)
	$(BIN)/python -m twine check --strict build/dist/*
	$(BIN)/python tests/wheel.py build/dist

check: lint type docs package  ## Lints, checks types, builds documentation and package

format: $(VENV)/installed  ## Formats the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: $(VENV)/installed
	$(BIN)/mypy
