# `make` alone lists the targets. The first target that needs the environment makes it, in .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-sampling bench-spins bench-images claims published-networks docs site architectures reproduce-quick reproduce-paper reproduce-thesis reproduce-thesis-images report clean
.PHONY: fig01 fig02 fig03 fig04 fig05 fig06 fig07 fig08 fig09

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## the main job: train, sample, project, measure, draw
	$(BIN)/python run.py

test: $(READY) ## run the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY) ## time training against a plain loop and the machine's own rate
	$(BIN)/python scripts/bench_training.py
	$(BIN)/python scripts/bench_stack.py

bench-sampling: $(READY) ## measure the evaluations, time and memory that samplers need: about ten minutes
	$(BIN)/python scripts/bench_sampling.py

# A sweep that was stopped is resumed: done jobs are skipped, and a job goes on where its training stopped.
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
	rm -rf .venv .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
