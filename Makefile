# Every chore of the project. `make demo` and `make test` need Python 3.11+ and nothing else of ours.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
RUN_STAMP := $(VENV)/.run-ready
DEV_STAMP := $(VENV)/.dev-ready
BENCH_STAMP := $(VENV)/.bench-ready

# The tests start many short processes; without bytecode each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo serve test soak check bench docs lock clean

help:  ## Say what can be made.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Tutela needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): requirements/run.lock pyproject.toml | $(BIN)/python
	@echo "Setting up Tutela (once; about a minute)…"
	$(PIP) install --require-hashes -r requirements/run.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): requirements/dev.lock $(RUN_STAMP)
	$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

$(BENCH_STAMP): requirements/bench.lock $(RUN_STAMP)
	$(BIN)/python -m bench.setup
	@touch $@

setup: $(DEV_STAMP)  ## Set up everything that tests and checks need.

demo: $(RUN_STAMP)  ## Start Tutela, play a platform against it, show what it did (ONCE=1: play and exit).
	$(BIN)/tutela demo $(if $(ONCE),--once)

serve: $(RUN_STAMP)  ## Start Tutela on its embedded default.
	$(BIN)/tutela serve

test: $(DEV_STAMP)  ## Checks, documents and all tests but the soaks.
	$(MAKE) --no-print-directory check
	$(BIN)/python -m tests.run

soak: $(DEV_STAMP)  ## Long and heavy tests: fuzzing, soaks, large lists.
	$(BIN)/python -m pytest -m soak -q --timeout 1500

check: $(DEV_STAMP)  ## Style, types and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(BENCH_STAMP)  ## Ratios against the peers (QUICK=1: within 5 minutes, without bars).
	QUICK=$(QUICK) $(BIN)/python -m bench

docs: $(DEV_STAMP)  ## Build the documents into docs/_build/html.
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

lock: $(DEV_STAMP)  ## Renew the hashed locks (needs uv).
	for name in run dev bench; do \
	  uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 requirements/$$name.in -o requirements/$$name.lock; \
	done

clean:  ## Remove what was built or measured; data and .venv stay.
	rm -rf docs/_build build dist .pytest_cache .mypy_cache .ruff_cache
