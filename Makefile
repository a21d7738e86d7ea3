# Shortcuts; afterwards plain Snakemake (.venv/bin/snakemake) is the interface.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo demo-xtts demo-all test test-fast check bench clean

help:  ## list what make can do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: .venv/.installed  ## create .venv with every pinned package

.venv/.installed: envs/requirements.lock envs/requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit("VoiceKiln needs Python 3.11 or newer; call make with PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned packages into .venv (2.7 GB; a few minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' envs/requirements.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/requirements.lock -r envs/requirements-dev.lock
	@touch $@

demo: setup  ## run the whole pipeline on the shipped demo (about three minutes on 2 cores, without the installation)
	$(BIN)/snakemake
	@$(BIN)/python workflow/scripts/show_results.py

demo-xtts: setup results/models/xtts_demo/config.json  ## run the demo of XTTS v2 on the same recordings
	$(BIN)/snakemake --configfile config/demo_xtts.yaml
	@$(BIN)/python workflow/scripts/show_results.py

demo-all: demo demo-xtts  ## run the demo of every family on one data set

results/models/xtts_demo/config.json: | setup
	$(BIN)/python resources/demo/make_xtts_base.py $(@D)

test: setup  ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: setup  ## run the tests that take seconds
	$(BIN)/python -m pytest -m "not slow and not gpu"

check: setup  ## lint and format checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

bench: setup  ## time our steps beside the bare libraries and the peer's trainer
	$(BIN)/python benchmarks/data_steps.py
	$(BIN)/python benchmarks/cutting.py
	$(BIN)/python benchmarks/transcription.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/duplicates.py
	$(BIN)/python benchmarks/checkpoints.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/batching.py
	$(BIN)/python benchmarks/xtts_training.py

clean:  ## remove what runs produced (not .venv, not your recordings)
	rm -rf results/corpora results/runs results/store results/models logs .snakemake
