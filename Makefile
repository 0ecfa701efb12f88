# Carrydesk: `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?= run
DAILY := not compose and not nightly
FAST := not slow and $(DAILY)
WORKERS := -n logical --maxprocesses 4 --dist loadfile
DEMO := $(if $(FOR),--for $(FOR)) $(if $(filter-out 0,$(KEEP)),--keep) $(if $(START),--start $(START)) $(if $(KILL),--kill $(KILL)) $(if $(SEED),--seed $(SEED))

.PHONY: help demo test test-python crash lint check nightly mutants simulate backtest bench up down logs client dashboard format lock
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 12

demo: ## Trade recorded history here, without Docker: make demo [FOR=60] [KEEP=1] [START=2022-11-07T00:00Z] [KILL=executor SEED=7]
	@deploy/prepare demo
	@exec $(BIN)/carry demo $(DEMO)

test: ## Everything that needs no container
	@$(MAKE) --no-print-directory test-python
	@deploy/dashboard-tests

# Each worker has its own servers; the demos that follow need the machine for themselves.
test-python:
	@deploy/prepare dev
	$(BIN)/pytest -q $(WORKERS) -m "$(DAILY)" --ignore tests/crash --ignore tests/e2e tests
	$(BIN)/pytest -q -m "$(DAILY)" tests/e2e

crash: ## End real processes between two steps, ruin their servers, and compare the books
	@deploy/prepare dev
	$(BIN)/pytest -q -s -m "not nightly" tests/crash

lint: client ## Format, lint, types, generated client unchanged
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

check: lint ## What `make lint` does, and the fast tests
	$(BIN)/pytest -q $(WORKERS) -m "$(FAST)" tests/architecture tests/shared

nightly: test crash ## What `make test` and `make crash` do, then what takes an hour or two, then every hour of the sample
	$(BIN)/pytest -q -m nightly tests
	@$(MAKE) --no-print-directory simulate SEEDS=10000 TWICE=100 FROM=$$(date +%y%m%d)00000
	$(BIN)/python -m tests.mutants
	$(BIN)/carry backtest run --report reports/nightly.html

mutants: ## Plant each known kind of bug and see that a test finds it: make mutants [ONLY=name]
	@deploy/prepare dev
	$(BIN)/python -m tests.mutants $(if $(ONLY),--only "$(ONLY)")

simulate: ## Fault schedules by seed, or each single fault once: make simulate SEEDS=10000 FROM=1 [TWICE=100] or SINGLE=1
	@deploy/prepare dev
	$(BIN)/python -m tests.simulation $(if $(filter-out 0,$(SINGLE)),--single,--seeds $(or $(SEEDS),100) --from $(or $(FROM),1) --twice $(or $(TWICE),0))

client: ## Refuse when the API and the dashboard's generated types differ
	@deploy/prepare dev
	@$(BIN)/python -m services.api.openapi | diff -u dashboard-ui/openapi.json - >&2 || \
	  { echo "dashboard-ui/openapi.json is old: python -m services.api.openapi > dashboard-ui/openapi.json" >&2; exit 1; }
	@deploy/client-unchanged

dashboard: ## Build, check and test the dashboard; without Node it says so
	@deploy/prepare dashboard
	@deploy/dashboard-tests

backtest: ## Replay history: make backtest ARGS="run --from 2023-01-01" [IN=compose: as a job of the containers]
	@$(if $(IN),docker compose run --rm -T backtest,deploy/prepare demo; $(BIN)/carry) backtest $(ARGS)

bench: ## Ratios against yardsticks, measured in one run
	@deploy/prepare dev
	$(BIN)/python -m tests.bench

up: ## Start everything in containers and wait until it is well
	docker compose up --detach --build --wait
	@echo "dashboard: http://127.0.0.1:$${CARRY_PORT:-8080}/"

down: ## Stop the containers; data stays in its volumes
	docker compose down

logs: ## Follow the containers' logs
	docker compose logs --follow --tail 100

format: ## Format and sort imports
	@deploy/prepare dev
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

lock: ## Pin what the project needs anew, with hashes and without addresses
	@deploy/prepare dev
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	# What tests run with comes first, so that nothing else is pinned to versions never tested.
	for spec in "dev:--extra embedded --extra backtest --extra ccxt --extra dask --extra dev" \
	  "runtime:--extra backtest --extra dask -c requirements/dev.txt" \
	  "demo:--extra embedded --extra backtest -c requirements/dev.txt"; do \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11.0 --no-emit-index-url \
	    --no-header --no-annotate $${spec#*:} pyproject.toml -o requirements/$${spec%%:*}.txt; \
	done
