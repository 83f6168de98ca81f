# Every command of the house.  `make` alone lists them.
#
# Nothing is assumed but Python 3.11 and make.  What is needed comes into .venv and web/node_modules; the one
# system package, Chromium for the browser tests, is installed where this may, and named where it may not.

SHELL := /bin/sh
.DEFAULT_GOAL := help
# The steps of a command build on one another, and each uses all cores by itself.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
WEB := $(BIN)/python scripts/webapp.py --install

.PHONY: help
help: ## list these commands
	@echo "make COMMAND, where COMMAND is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- Using it ---------------------------------------------------------------------------------------------

.PHONY: demo demo-check
demo: examples web ## train three small models and watch their curves live in the browser
	@$(BIN)/python scripts/demo.py

demo-check: examples web ## the demo in short, without a browser: are three runs with curves there?
	@$(BIN)/python scripts/demo.py --check

.PHONY: install web
install: tools web ## make .venv with everything for working on Epochal, and build the web app

web: runtime ## build the web app into src/epochal/server/static
	@$(WEB) build

# --- Checking it ------------------------------------------------------------------------------------------

.PHONY: test test-python test-web test-browser
test: tools web chromium ## the whole test suite: Python, web app, browser
	@$(BIN)/python scripts/run_tests.py

test-python: tools ## the Python tests alone; one part of them: .venv/bin/pytest tests/store
	@$(BIN)/python scripts/run_tests.py python

test-web: runtime ## the web app's unit tests alone
	@$(WEB) node >/dev/null && $(BIN)/python scripts/run_tests.py web

test-browser: tools web chromium ## the browser tests alone, against a real server
	@$(BIN)/python scripts/run_tests.py browser

.PHONY: drills
drills: tools ## the drills in their long form: kills, bad servers, damaged folders, 8,000 ended trainings (hours)
	@DRILLS=full $(BIN)/python -m pytest tests/drills

.PHONY: lint format types
lint: tools ## find mistakes and unformatted files, in Python and TypeScript
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(WEB) run lint format:check

format: tools ## format every file, and mend what can be mended by itself
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format
	@$(WEB) run format

types: tools ## check the types of Python and TypeScript
	@$(BIN)/mypy
	@$(WEB) run check

.PHONY: bench bench-peers
bench: tools web chromium ## measure what the README claims, each figure beside its floor (half an hour)
	@$(BIN)/python scripts/bench.py

bench-peers: tools ## the same against wandb, Trackio, TensorBoardX, MLflow and Aim
	@$(BIN)/python scripts/bench.py peers

# --- Shipping it ------------------------------------------------------------------------------------------

.PHONY: wheel screenshots
wheel: tools ## build the wheel and the source archive into dist/
	@rm -rf dist && $(BIN)/python -m build --outdir dist . >/dev/null
	@ls -l dist

screenshots: examples web chromium ## take the pictures in docs/images from the running product
	@$(BIN)/python scripts/screenshots.py

.PHONY: clean
clean: ## remove everything that was built, .venv and the demo's data included
	rm -rf .venv dist build web/node_modules src/epochal/server/static .demo
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- What the commands above stand on ---------------------------------------------------------------------

.PHONY: runtime examples tools chromium
runtime:
	@sh scripts/install.sh

examples:
	@sh scripts/install.sh demo

tools:
	@sh scripts/install.sh dev

# Without it the browser tests are reported as not run.
chromium:
	@command -v chromium >/dev/null 2>&1 || sh scripts/system_package.sh chromium fonts-liberation || true
