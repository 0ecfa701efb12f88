# Carrydesk: `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# A version manager's stub may be on PATH without the version behind it, so each is tried.
PYTHON := $(shell for python in python3.12 python3.13 python3.11 python3; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
    && { command -v $$python; break; }; done)
BIN := .venv/bin
ARGS ?= run

.PHONY: help backtest check test bench lock format dashboard
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 12

.venv/ready: requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found."; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

backtest: .venv/ready ## Replay history: make backtest ARGS="run --from 2023-01-01"
	$(BIN)/carry backtest $(ARGS)

check: .venv/ready ## Format, lint, types, fast tests
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/pytest -q -m "not slow and not compose" tests/architecture tests/shared

test: .venv/ready ## Everything that needs no container
	$(BIN)/pytest -q -m "not compose"

dashboard-ui/node_modules/.package-lock.json: dashboard-ui/package-lock.json
	cd dashboard-ui && npm ci --no-audit --no-fund --loglevel=error

dashboard: dashboard-ui/node_modules/.package-lock.json ## Check, test and build the dashboard
	cd dashboard-ui && npm run check && npm test && npm run build

bench: .venv/ready ## Ratios against yardsticks, measured in one run
	$(BIN)/python -m tests.bench

format: .venv/ready ## Format and sort imports
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

lock: .venv/ready ## Pin what is installed anew, with hashes and without addresses
	$(BIN)/pip install --quiet uv
	for spec in "runtime:--extra backtest" "demo:--extra embedded --extra backtest" "dev:--extra embedded --extra backtest --extra dev"; do \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11.0 --no-emit-index-url \
	    --no-header --no-annotate $${spec#*:} pyproject.toml -o requirements/$${spec%%:*}.txt; \
	done
