# What can I type here? `make help` answers.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_AUDIT := pip-audit@2.10.1
SEEDS ?= 1 2
WEIGHTS ?= imagenet
RIVALS := .venv-rivals
PACKAGES := db vision trainer worker scheduler console

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults lint screenshots audit bench bench-control-plane bench-rivals-env up lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-19s %s\n", $$1, $$2}'

setup: $(STAMP) ## create .venv and install the locked, hash-checked packages

$(STAMP): requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "inspectq needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "python -m venv failed. On Debian and Ubuntu the venv module is a package of its own: python3-venv."; exit 2; }
	@echo "Installing into $(VENV): about 5 GB on the first run, most of it torch with its CUDA libraries."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --compile-bytecode --require-hashes requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## train, evaluate, scan and report on sample images, no service needed
	@$(BIN)/inspectq demo

test: $(STAMP) ## run the whole test suite, on every core (ARGS="tests/db -x")
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not alone" $(ARGS) || test $$? = 5
	@$(BIN)/python -m pytest -m alone $(ARGS) || test $$? = 5  # 5: none of those that were asked for

faults: $(STAMP) ## the long fault storms, then the mutations that must not stand them (25 minutes; SEEDS="1 2 3")
	@$(BIN)/python -m tests.storm.everything --postgresql $(SEEDS) --sqlite $(firstword $(SEEDS))

lint: $(STAMP) ## ruff, mypy --strict and the import rule
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(PACKAGES) benchmarks
	@$(BIN)/lint-imports

screenshots: $(STAMP) ## the pictures of the console in docs/images, of a model that is trained for them (WEIGHTS=imagenet)
	@$(BIN)/python -m tests.web.screenshots docs/images $(WEIGHTS)

audit: $(STAMP) ## known weaknesses of the locked packages (asks the internet), and ruff's security rules
	@$(BIN)/ruff check --select S .
	@$(BIN)/python .ci/audit.py requirements/dev.txt $(BIN)/uvx --quiet --python $(BIN)/python $(PIP_AUDIT)

bench: $(STAMP) bench-rivals-env ## folders inspected by inspectq and by others, in turns; writes docs/benchmarks.md (40 minutes; ARGS="--rounds 1")
	@$(BIN)/python -m benchmarks.side_by_side --rivals $(RIVALS)/bin/python $(ARGS)

bench-control-plane: $(STAMP) ## images a second through scheduler, queue and database, the network left out (ARGS=--full)
	@$(BIN)/python -m benchmarks.control_plane $(ARGS)

bench-rivals-env: $(RIVALS)/.installed ## create .venv-rivals with timm and Ray, locked and hash-checked

$(RIVALS)/.installed: requirements/rivals.txt | $(STAMP)
	@test -x $(RIVALS)/bin/python || $(BIN)/python -m venv --without-pip $(RIVALS)
	@VIRTUAL_ENV=$(RIVALS) $(BIN)/uv pip sync --compile-bytecode --require-hashes requirements/rivals.txt
	@touch $@

up: $(STAMP) ## run the compose services as local processes, for a machine without docker
	@$(BIN)/inspectq up

lock: ## resolve the dependencies anew into requirements/*.txt
	$(BIN)/uv pip compile -q --upgrade --universal --generate-hashes pyproject.toml --extra dev -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt
	echo uv | $(BIN)/uv pip compile -q --universal --generate-hashes - -c requirements/dev.txt -o requirements/bootstrap.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes requirements/rivals.in -c requirements/dev.txt -o requirements/rivals.txt

clean: ## remove the environment and the demo's folder
	rm -rf $(VENV) $(RIVALS) inspectq-demo
