# Two commands matter to a newcomer: `make demo` and `make test`. Each does its own set-up inside .venv.
# The Python to use can be named: make demo PYTHON=/path/to/python3.11

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
ROOMS := engine storage worker client
EDITABLE := -e . $(foreach room,$(ROOMS),-e ./$(room))
OURS := $(foreach name,amancay $(addprefix amancay-,$(ROOMS)),--no-emit-package $(name))
COMPILE = $(UV) pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url \
          --no-emit-find-links --no-header --no-annotate $(OURS)
# Certificates as the system has them: an institution's package index is often behind its own authority.
export UV_NATIVE_TLS := true
export UV_SYSTEM_CERTS := true
# uv from PATH, or the pinned one fetched into the virtual environment.
UV = $(shell command -v uv || echo $(BIN)/uv)
DEMO_ARGS ?=
BENCH_ARGS ?=
# Test processes at a time; each has a server of its own.
JOBS ?= 2

.PHONY: demo test test-all check format bench lock schema clean help

help:
	@echo "make demo      a running server with demo data, and a tour   (DEMO_ARGS='--once --port 0')"
	@echo "make test      lint, types, contracts, and the fast tests"
	@echo "make test-all  the same with the slow tests: statistics, crashes, load"
	@echo "make check     lint, types, import contracts, schema and lock files"
	@echo "make bench     the benchmark: the whole service beside the bare library"
	@echo "make format    let ruff mend what it can"
	@echo "make lock      compile requirements/ anew"
	@echo "make schema    print schema.graphql from the code"

.venv/ready: requirements/dev.txt requirements/bootstrap.txt pyproject.toml $(foreach room,$(ROOMS),$(room)/pyproject.toml)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Amancay needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(EDITABLE)
	touch $@

demo: .venv/ready
	$(BIN)/amancay demo $(DEMO_ARGS)

check: .venv/ready
	@! grep -nE "https?://|find-links|index-url" requirements/*.txt || { echo "requirements name an index"; exit 1; }
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/amancay schema export --check schema.graphql

test: check
	$(BIN)/pytest -n $(JOBS) -m "not slow and not statistics and not crash and not load"

test-all: check
	$(BIN)/pytest -n $(JOBS)

bench: .venv/ready
	$(BIN)/python -m benchmarks.end_to_end $(BENCH_ARGS)

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: .venv/ready
	$(BIN)/amancay schema export --out schema.graphql

# What each role installs, with hashes and without index addresses.
lock:
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) client/pyproject.toml -o requirements/client.txt
	$(COMPILE) engine/pyproject.toml storage/pyproject.toml worker/pyproject.toml -o requirements/worker.txt
	$(COMPILE) pyproject.toml engine/pyproject.toml storage/pyproject.toml worker/pyproject.toml -o requirements/server.txt
	$(COMPILE) pyproject.toml $(foreach room,$(ROOMS),$(room)/pyproject.toml) --all-extras --group dev --group build -o requirements/dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
