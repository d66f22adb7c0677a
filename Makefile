# `make` alone lists the targets. The environment is made once, in .venv, by whatever target needs it.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-sampling clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## the main job: train, sample, project, measure, draw
	$(BIN)/python run.py

test: $(READY) ## run the test suite
	$(BIN)/python -m pytest

lint: $(READY) ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY) ## time training against a plain loop and the machine's own rate
	$(BIN)/python scripts/bench_training.py

bench-sampling: $(READY) ## evaluations, time and memory that samplers need: about ten minutes
	$(BIN)/python scripts/bench_sampling.py

clean: ## remove the environment and caches; outputs/ stays
	rm -rf .venv .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
