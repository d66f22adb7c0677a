# `make` alone lists the targets. The first target that needs the environment makes it, in .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test test-hydra14 test-launchers test-slurm test-trackers lint bench bench-sampling bench-spins bench-images bench-finding claims published-networks docs suite site architectures reproduce-quick reproduce-paper reproduce-thesis reproduce-thesis-images report clean
.PHONY: fig01 fig02 fig03 fig04 fig05 fig06 fig07 fig08 fig09

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## the main job: train, sample, project, measure, draw
	$(BIN)/python run.py

test: $(READY) ## run the test suite
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slurm: $(READY) ## run the tests of clusters against a Slurm on this machine: as root, with slurm-wlm and munge; minutes
	TEST_SLURM=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_slurm.py

test-trackers: $(READY) ## install MLflow and TensorBoard, and test that they have what the runs have
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[trackers]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_tracking.py

test-launchers: ## run the tests of every launcher, in an environment of their own with Ray: 400 MB, minutes
	$(PYTHON) -m venv .venv-launchers
	.venv-launchers/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,ray]' \
	    hydra-submitit-launcher==1.2.0
	LAUNCHERS=all OMP_NUM_THREADS=1 .venv-launchers/bin/python -m pytest tests/test_launchers.py

# The tests that touch Hydra, in an environment of their own with its version 1.4.
HYDRA14 := .venv-hydra14
HYDRA_TESTS := config cli help names refusals run sweep stacked_sweep optimising replicas python sampling_anew grids \
    presets extending own_study own_style security damage locks gathering fuzz tutorial docs house

$(HYDRA14)/.ready: pyproject.toml constraints-hydra14.txt
	$(PYTHON) -m venv $(HYDRA14)
	$(HYDRA14)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-hydra14.txt -e '.[dev]'
	@touch $@

test-hydra14: $(HYDRA14)/.ready ## run the tests that touch Hydra with Hydra 1.4, in an environment of its own
	OMP_NUM_THREADS=1 $(HYDRA14)/bin/python -m pytest -n 2 --dist loadfile $(HYDRA_TESTS:%=tests/test_%.py)

lint: $(READY) ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY) ## time training and sampling, single and stacked, against plain loops and the machine's own rates
	$(BIN)/python scripts/bench_training.py
	$(BIN)/python scripts/bench_stack.py
	$(BIN)/python scripts/bench_device.py

bench-sampling: $(READY) ## measure the evaluations, time and memory that samplers need: about ten minutes
	$(BIN)/python scripts/bench_sampling.py

# A sweep that was stopped is resumed: done jobs are skipped, and a job goes on where its training stopped. With one
# thread a job gives the same bits on any number of CPUs.
define sweep
	if [ -f outputs/$@/sweep.json ]; then \
	    $(BIN)/python run.py -m sweep.resume=outputs/$@ hydra/launcher=$(LAUNCHER) hydra.launcher.n_jobs=$(JOBS); \
	else \
	    $(BIN)/python run.py -m sweep.jobs=scripts/jobs/$(subst -,_,$@)$(ROWS).yaml $(ALSO) hydra.sweep.dir=outputs/$@ \
	        threads=1 hydra/launcher=$(LAUNCHER) hydra.launcher.n_jobs=$(JOBS); \
	fi
endef
JOBS ?= 2
LAUNCHER := joblib

bench-spins: $(READY) ## time sampling by AMP against its matrix products: a minute
	$(BIN)/python scripts/bench_spins_amp.py

bench-images: $(READY) ## time training steps of the U-Net, on a GPU where there is one: a minute
	$(BIN)/python scripts/bench_images.py

bench-finding: $(READY) ## time finding 10000 runs, with and without an index, and gathering 300: a few minutes
	$(BIN)/python scripts/bench_finding.py

reproduce-quick: $(READY) ## the figures of the semester paper on a budget of minutes
	$(sweep)

# On a GPU four seeds of each row, whose networks are trained together.
ifdef DEVICE
reproduce-paper: LAUNCHER := stacked
reproduce-paper: ROWS := _seeds
reproduce-paper: ALSO = seed=0,1,2,3 device=$(DEVICE)
endif
reproduce-paper: $(READY) ## the figures with the published budgets: hours, with DEVICE=cuda minutes and four seeds
	$(sweep)

reproduce-thesis: $(READY) ## the figures of the thesis; IMAGES=PATH has MNIST for figures 18 and 19 as well
	$(sweep)
	$(BIN)/python -m scorelab.reproduction outputs/$@
	$(if $(IMAGES),IMAGES=$(abspath $(IMAGES)) $(MAKE) reproduce-thesis-images)

reproduce-thesis-images: $(READY)
	$(sweep)
	$(BIN)/python -m scorelab.reproduction outputs/$@

report: $(READY) ## write report.md and report.html of a reproduction; DIR=outputs/reproduce-paper names another one
	$(BIN)/python -m scorelab.reproduction $(or $(DIR),outputs/reproduce-quick) $(DOCS)

suite: $(READY) ## write reference numbers that the suites of targets lack, and draw docs/images/suite_v1.png: a minute
	$(BIN)/python -m scorelab.suites

docs: $(READY) ## write docs/metrics.md from the declarations of the studies, docs/options.md from conf/
	$(BIN)/python -m scorelab.lab.pages

site: $(READY) ## build the documentation as a site, in outputs/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "outputs/site/index.html; with its search: $(BIN)/python -m http.server --directory outputs/site"

architectures: ALSO = seed=0,1,2,3 sampler.count=20000 study.trajectories=0
architectures: $(READY) ## compare architectures for the score of a mixture: 25 configurations, four seeds; half an hour
	$(sweep)

published-networks: ALSO = 'seed=range(0,6)' study.trajectories=0 figures.dpi=50
published-networks: $(READY) ## train the published networks with their full budgets, six seeds: an hour
	$(sweep)
	$(BIN)/python scripts/keep_published_networks.py outputs/$@

claims: $(READY) $(if $(FULL),published-networks) ## test statements of the literature: a minute and a half; FULL=1 trains anew
	$(BIN)/python run.py study=claims claims.docs=docs

.PHONY: peers
peers: ## measure samplers of other libraries, in an environment of their own, and write docs/peers.md: a quarter of an hour
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r scripts/peers.txt
	OMP_NUM_THREADS=1 .venv-peers/bin/python run.py study=peers study.docs=docs

# One figure of the paper with its published budget; ARGS="setting=3 training=author" changes the configuration.
fig01: PRESET = fig01_exact
fig02: PRESET = fig02_relu
fig03: PRESET = fig03_relu
fig04: PRESET = fig04_tanh
fig05: PRESET = fig05_tanh
fig06: PRESET = fig06_mixture_tanh
fig07: PRESET = fig07_phase_aware
fig08: PRESET = fig08_phase_aware
fig09: PRESET = fig09_two_stage
fig01 fig02 fig03 fig04 fig05 fig06 fig07 fig08 fig09: $(READY)
	$(BIN)/python run.py +experiment=$(PRESET) $(ARGS)

clean: ## remove the environment and caches; outputs/ stays
	rm -rf .venv .venv-launchers .venv-hydra14 .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
