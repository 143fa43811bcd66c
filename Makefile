# Everything a person types. Each target makes what it needs: a virtual environment of its own from the
# locked requirements, and for the cluster tests a real control plane, built once into the user's cache.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := $(VENV)/.ready-demo
CHECKED := reconciler tests examples
# Tests mostly wait for real parts, so more of them run than there are cores; each worker has its own control plane,
# until the last test that needs one.
# Files in their order: the longest ones are not the last to begin.
JOBS   ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test check bench controlplane lock format clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1	/' | expand -t 22

demo: $(DEMO) ## the whole way, from recorded clusters to git and an API, in a minute
	@$(BIN)/python -m reconciler demo

test: $(READY) ## all tests, against real parts (the first run builds a control plane: some minutes)
	@$(BIN)/python -m tests.controlplane.build
	@$(BIN)/python -m compileall -q reconciler # once, not by each process that a test starts
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(READY) ## lint, format, types, layers
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check --quiet $(CHECKED) || { echo "run 'make format'"; exit 1; }
	@$(BIN)/mypy $(CHECKED)
	@$(BIN)/lint-imports --no-logo

bench: $(READY) ## figures, as ratios to a plain baseline of the same run
	@$(BIN)/python -m tests.benchmarks $(ARGS)

controlplane: $(READY) ## a real control plane to play with, until Ctrl-C
	@$(BIN)/python -m tests.controlplane

format: $(READY) ## format, and fix what the linter can fix
	@$(BIN)/ruff format --quiet $(CHECKED)
	@$(BIN)/ruff check --fix --quiet $(CHECKED)

lock: $(READY) ## choose versions again, for the requirements files
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet --upgrade \
		pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet --upgrade \
		-c requirements.txt pyproject.toml --group dev -o requirements-dev.txt

clean: ## forget the virtual environment and what was generated
	rm -rf $(VENV) .demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)

# The demo needs what the program needs, and nothing of the tests.
$(DEMO): requirements.txt | $(VENV)/bin/python
	@test -e $(READY) || { echo "installing what it needs (locked, by hash)"; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt; }
	@touch $@

$(READY): requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing what the tests need (locked, by hash)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
