# Everything a newcomer runs. Only Python >= 3.11 and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
DATA ?=
# All extras but two-tower: torch's default Linux wheel brings several GB of CUDA, which training here does not use.
LOCKED_EXTRAS := --extra postgres --extra parquet --extra tune
# Only learning needs the compiler, which is a third of an install: an API process runs without it.
API_ONLY := --extra postgres --no-emit-package numba --no-emit-package llvmlite
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help install demo test installs check bench lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

install: $(VENV)/.installed  ## build .venv from the hash-locked requirements

$(VENV)/.installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Reckon needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@command -v $(BIN)/uv >/dev/null || $(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --requirements requirements-dev.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: install  ## a recommender on real ratings at http://127.0.0.1:8000 (DATA=folder or file to bring your own)
	@$(BIN)/reckon demo $(DATA)

test: install check  ## the whole suite, on SQLite and on Postgres
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadscope

installs: install  ## a fresh environment of each kind of install: its size, and what it can do
	@$(BIN)/python -m pytest tests/installs

check: install  ## style, types, imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile

bench: install  ## the figures, peers beside us
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --requirements benchmarks/requirements.txt
	@$(BIN)/python -m benchmarks

lock: install  ## renew the hash-locked requirements from pyproject.toml
	$(COMPILE) $(LOCKED_EXTRAS) pyproject.toml --output-file requirements.txt
	$(COMPILE) $(API_ONLY) --constraint requirements.txt pyproject.toml --output-file requirements-api.txt
	$(COMPILE) $(LOCKED_EXTRAS) --group dev pyproject.toml --output-file requirements-dev.txt

clean:  ## remove what was built and what the demo made
	rm -rf $(VENV) var
