# Everything a newcomer runs. Only Python >= 3.11 and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
DATA ?=
FAULTS ?=
# All extras but two-tower: torch's default Linux wheel brings several GB of CUDA, which training here does not use.
LOCKED_EXTRAS := --extra postgres --extra parquet --extra excel --extra archives --extra tune \
	--extra object-store --extra kafka
# Only learning needs the compiler, which is a third of an install: an API process runs without it.
API_ONLY := --extra postgres --extra object-store --no-emit-package numba --no-emit-package llvmlite
# What trains on Spark: pyspark brings 490 MB, which no other install needs.
ON_SPARK := --extra postgres --extra parquet --extra object-store --extra spark
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help install demo test slow installs typescript browser screenshots promtool object-storage kafka spark kubernetes manifests check faults faults-short coverage audit bench scale-demo lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

install: $(VENV)/.installed  ## build .venv with the tools of development, hash-locked

# `$(VENV)/.runtime` is what the demo needs; the development install adds its tools to the same environment.
$(VENV)/.runtime: requirements.txt requirements-build.txt pyproject.toml
	@$(call install_locked,requirements.txt,Reckon)
	@touch $@

$(VENV)/.installed: requirements-dev.txt requirements-build.txt pyproject.toml
	@$(call install_locked,requirements-dev.txt,Reckon and the tools of development)
	@touch $(VENV)/.runtime $@

# $(1): a requirements file. $(2): what it is. Reckon itself is built in an environment of its own, which is hash-locked too.
define install_locked
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Reckon needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }; \
set -e; started=$$(date +%s); \
echo "Installing $(2) from $(1) into $(VENV) ..."; \
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv==$(UV_VERSION); \
export VIRTUAL_ENV=$(VENV); \
$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --requirements $(1); \
$(BIN)/uv pip install --quiet --no-deps --build-constraints requirements-build.txt --editable .; \
echo "Installed in $$(( $$(date +%s) - started )) s, $$(du -sh $(VENV) | cut -f1)."
endef

demo: $(VENV)/.runtime  ## a recommender on real ratings at http://127.0.0.1:8000 (DATA=folder or file to bring your own)
	@$(BIN)/reckon demo $(if $(DATA),"$(DATA)")

PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

test: install check  ## all but the slow tests: all on SQLite, the store on Postgres as well
	@$(PYTEST) -m "not slow"

slow: install  ## the other tests: whole training runs, restarts of real processes, and all on Postgres
	@$(PYTEST) -m slow

installs: install  ## a fresh environment of each kind of install: its size, and what it can do
	@$(BIN)/python -m pytest tests/installs

typescript: install  ## the TypeScript client: its types from the OpenAPI document, its build, its tests (needs node >= 20)
	@$(BIN)/reckon openapi > clients/typescript/openapi.json
	@cd clients/typescript && npm ci --silent && npm run --silent generate && npm run --silent build && npm test --silent

browser: install  ## every page of the console and every operation of /docs in Chromium
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirements requirements-browser.txt
	@$(BIN)/python -m pytest tests/browser

screenshots: install  ## the pictures of docs/console.md, from the demo (needs chromium and chromedriver)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirements requirements-browser.txt
	@$(BIN)/python -m tests.browser.screenshots docs/images

promtool: install  ## alert rules and dashboard, as Prometheus reads them (needs promtool, of the package prometheus)
	@$(BIN)/python -m pytest tests/promtool

kubernetes: install  ## the Helm chart, rendered by Helm and checked against the schemas of Kubernetes
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirements requirements-kubernetes.txt
	@$(BIN)/python -m pytest tests/kubernetes

manifests: install  ## the manifests of the Helm chart for those without Helm
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirements requirements-kubernetes.txt
	@$(BIN)/python -m tests.kubernetes.chart deploy/kubernetes/reckon.yaml

object-storage: install  ## snapshots in object storage, on an S3 server of its own (moto)
	@$(PYTEST) tests/object_storage

kafka: install  ## `reckon consume` against a real broker, on SQLite and Postgres
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirements requirements-kafka.txt
	@$(BIN)/python -m pytest --numprocesses 2 tests/kafka

spark: install  ## training on a local cluster of Spark (needs Java 17; pyspark is 490 MB)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirements requirements-spark.txt
	@$(BIN)/python -m pytest tests/spark

check: install  ## style, types, imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile

faults: install  ## break the service in every way that it promises to survive, for hours (FAULTS="name name" for some)
	@$(BIN)/python -m faults $(FAULTS)

faults-short: install  ## every fault once, in minutes
	@$(BIN)/python -m faults --short $(FAULTS)

coverage: install  ## branch coverage of make test, make slow and make faults-short together
	@$(PYTEST) --cov --cov-report=
	@$(BIN)/coverage run -m faults --short $(FAULTS)
	@$(BIN)/coverage combine --append --quiet && $(BIN)/coverage report --skip-covered --show-missing

# Weak copyleft is allowed: those packages are used as libraries, unchanged.
LICENCES := MIT;BSD;Apache;ISC;PSF;MPL;LGPL;GNU Lesser General Public License

audit: install  ## known vulnerabilities, bill of materials, secrets, security rules, licences (the first needs the network)
	@test -x $(VENV)/audit/bin/python || $(PYTHON) -m venv --without-pip $(VENV)/audit
	@VIRTUAL_ENV=$(VENV)/audit $(BIN)/uv pip install --quiet --require-hashes --requirements requirements-audit.txt
	@mkdir -p dist
	@$(VENV)/audit/bin/cyclonedx-py requirements --output-reproducible --output-file dist/reckon.cdx.json requirements.txt
	@echo "bill of materials (CycloneDX): dist/reckon.cdx.json"
	@git ls-files -z | xargs -0 $(VENV)/audit/bin/detect-secrets-hook && echo "secrets: none found in tracked files"
	@$(BIN)/ruff check --quiet --select S . && echo "security rules of ruff: kept"
	@$(VENV)/audit/bin/pip-licenses --python $(BIN)/python --from mixed --partial-match --allow-only "$(LICENCES)" --summary \
		--packages $$(grep -oE '^[a-zA-Z0-9_.-]+==' requirements.txt | tr -d =)
	@$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off --requirement requirements.txt

bench: install  ## the figures, peers beside us
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --requirements benchmarks/requirements.txt
	@$(BIN)/python -m benchmarks

scale-demo: install  ## Postgres, a bucket, a broker, two replicas, Spark: every step beyond one machine (needs Java 17)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirements requirements-kafka.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --requirements requirements-spark.txt
	@$(BIN)/python -m benchmarks.scale_demo

lock: install  ## renew the hash-locked requirements from pyproject.toml
	$(COMPILE) $(LOCKED_EXTRAS) pyproject.toml --output-file requirements.txt
	$(COMPILE) $(API_ONLY) --constraint requirements.txt pyproject.toml --output-file requirements-api.txt
	$(COMPILE) $(LOCKED_EXTRAS) --group dev --constraint requirements.txt pyproject.toml --output-file requirements-dev.txt
	$(COMPILE) --group build --output-file requirements-build.txt
	$(COMPILE) --group audit --output-file requirements-audit.txt
	$(COMPILE) --group browser --constraint requirements-dev.txt --output-file requirements-browser.txt
	$(COMPILE) --group kubernetes --constraint requirements-dev.txt --output-file requirements-kubernetes.txt
	$(COMPILE) --group kafka --constraint requirements-dev.txt --output-file requirements-kafka.txt
	$(COMPILE) $(ON_SPARK) --constraint requirements-dev.txt pyproject.toml --output-file requirements-spark.txt

clean:  ## remove what was built and what the demo made
	rm -rf $(VENV) var
