# Two commands: `make run` opens the studio, `make test` proves it. Both prepare .venv first; nothing is done twice.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
PORT ?= 8501
# Some containers have Python keep no bytecode: then each process compiles all it imports, and a worker with torch starts in 12 s
# instead of 4.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
UV := $(BIN)/uv pip

.PHONY: run test install litert lint lock clean
.DEFAULT_GOAL := run

run: install
	$(BIN)/transfer-studio app --port $(PORT)

install: .venv/.installed

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Transfer Studio needs Python 3.11 or newer; set PYTHON=…"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.venv/.installed: .venv/bin/uv requirements.lock pyproject.toml
	$(UV) install --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(UV) install --python $(BIN)/python --no-deps --editable .
	@touch $@

.venv/.installed-test: .venv/.installed requirements-test.lock
	$(UV) install --python $(BIN)/python --require-hashes --requirement requirements-test.lock
	@touch $@

.venv/.chromium: .venv/.installed-test tests/chromium.sh
	bash tests/chromium.sh
	@touch $@

# For the tests of the database on a server. Without it, they are skipped and say so.
.venv/.postgres: .venv/.installed-test tests/postgres.sh
	bash tests/postgres.sh
	@touch $@

# For the tests of the object store. Without it, they use a folder, and those of S3 are skipped and say so.
.venv/.s3: .venv/.installed-test tests/s3.sh tests/s3.lock
	bash tests/s3.sh
	@touch $@

# For the page that runs a model by itself. Without it, the tests of that page are skipped and say so.
.venv/web: .venv/.installed transfer_core/web_runtime.py
	$(BIN)/python -m transfer_core.web_runtime $@ || echo "ONNX Runtime Web could not be fetched: its tests will be skipped"

# For files in the format of phones, and the tests of it. Without it, these are skipped and say so.
litert: .venv/.litert

.venv/.litert: .venv/.installed requirements-litert.lock
	$(UV) install --python $(BIN)/python --no-deps --require-hashes --requirement requirements-litert.lock \
	  || echo "LiteRT's converter could not be installed: its tests will be skipped"
	@touch $@

# Whole files go to a process: what a file's tests share (a Ray cluster, helpers that have imported torch, a trained model) is made
# once. In the order of their names: by number of tests, the longest would come last, and the other process wait for it.
test: .venv/.chromium .venv/.postgres .venv/.s3 .venv/.litert .venv/web
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/lint-imports

# The lock holds versions and hashes, never the address of an index.
lock: .venv/bin/uv
	$(UV) compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock pyproject.toml
	$(UV) compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --extra test --constraint requirements.lock --output-file requirements-test.lock pyproject.toml
	$(UV) compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --output-file tests/s3.lock tests/s3.in
	$(UV) compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --no-deps --constraint requirements.lock --group pyproject.toml:litert --output-file requirements-litert.lock

clean:
	rm -rf .venv
