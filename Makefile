# `make demo` and `make test` are the two commands; each sets up what it needs in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
REQUIREMENTS := pyproject.toml constraints.txt
OUT ?= demo-out
ARGS ?=
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist loadfile

# TensorRT's Python bindings, a version of each known major one; the tests hold our source to them.
TENSORRT_BINDINGS := 10.16.1.11 11.4.0.106

# The interpreter that builds .venv: `make PYTHON=/path/to/python3.12 …` names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; \
	done)

.PHONY: help demo test test-slow test-gpu check format install install-dev bindings constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## Set up, then follow one person across four cameras (OUT=demo-out)
	$(BIN)/sightline demo --out $(OUT) $(ARGS)

test: $(VENV)/.installed-dev ## Set up, then run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS) $(ARGS)

test-slow: $(VENV)/.installed-dev ## Run the tests that take minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --timeout 3600 $(ARGS)

test-gpu: $(VENV)/.installed-dev ## Run the tests that need an NVIDIA GPU; none may be skipped
	REQUIRE_GPU=1 $(BIN)/python -m pytest -m gpu --timeout 3600 $(ARGS)

check: $(VENV)/.installed-dev ## Lint, formatting, types, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Sort imports and format
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed ## Set up .venv to run Sightline (about 700 MB, no torch)

install-dev: $(VENV)/.installed-dev ## Set up .venv to train and test (about 6 GB, with torch)

bindings: $(TENSORRT_BINDINGS:%=$(VENV)/bindings/%/.installed) ## Add TensorRT's bindings, for their tests

constraints: $(BIN)/pip ## Pin the newest versions that pyproject.toml allows
	$(PIP) install --dry-run --ignore-installed --report $(VENV)/constraints.json -e '.[dev,train]'
	$(BIN)/python -c 'import json; \
		items = [i["metadata"] for i in json.load(open("$(VENV)/constraints.json"))["install"]]; \
		pins = {i["name"].lower(): i["version"] for i in items if i["name"] != "sightline"}; \
		print("\n".join(f"{n}=={v}" for n, v in sorted(pins.items())))' > constraints.txt.part
	mv constraints.txt.part constraints.txt

clean: ## Remove .venv, caches and the demo's output
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist demo-out

$(VENV)/.installed: $(BIN)/pip $(REQUIREMENTS)
	@echo 'installing Sightline into $(VENV) (about 700 MB; minutes on a slow line)' >&2
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/pip $(REQUIREMENTS)
	@echo 'installing Sightline with torch and the tools into $(VENV) (about 6 GB)' >&2
	$(PIP) install -c constraints.txt -e '.[dev,train]'
	@touch $(VENV)/.installed $@

$(VENV)/bindings/%/.installed: | $(BIN)/pip
	$(PIP) install --no-deps --target $(@D) tensorrt-cu13-bindings==$*
	@touch $@

# Debian ships python3 without ensurepip: as root it is installed here, else the command is named.
$(BIN)/pip:
	@if [ -z '$(PYTHON)' ]; then \
		echo 'Sightline needs Python 3.11 or later, found: '"$$(python3 --version 2>&1 || true)" >&2; \
		echo 'install one (apt-get install python3) or name it: make PYTHON=/path/to/python3.12' >&2; \
		exit 1; \
	fi
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo 'Sightline needs Python 3.11 or later, $(PYTHON) is '"$$($(PYTHON) --version 2>&1)" >&2; \
		exit 1; \
	fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo '$(PYTHON) cannot make virtual environments: installing python3-venv' >&2; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
				apt-get install -qq -y --no-install-recommends python3-venv >/dev/null; \
		else \
			echo '$(PYTHON) cannot make virtual environments; run: sudo apt-get install python3-venv' >&2; \
			exit 1; \
		fi; \
	fi
	$(PYTHON) -m venv $(VENV)
