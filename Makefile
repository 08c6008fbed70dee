# Each target sets up what it needs: make clean && make test works on a fresh checkout.
VENV ?= .venv
PYTHON ?= python3
ARGS ?=
SEED ?= 1
# Half of the tests' time is waiting: for processes that die, for leases that end.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null) && echo $$((2 * cores)) || echo auto)
kills := build/kills
bin := $(VENV)/bin
ready := $(VENV)/.ready
peers := $(VENV)-peers
peers_lock := benchmarks/peers/requirements.lock
uv := $(shell command -v uv 2>/dev/null)

export UV_PYTHON_DOWNLOADS := never
# Tests start hundreds of processes: without bytecode each of them compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
# Logfire is here to be tested with, not to be loaded by every process that uses pydantic.
export PYDANTIC_DISABLE_PLUGINS := __all__

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo demo-agent test check format bench bench-peers soak planted lock clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(ready) ## Kill a shop in mid-order, again and again, and see that it makes amends.
	$(bin)/python examples/order_fulfilment/demo.py $(ARGS)

demo-agent: $(ready) ## Kill an agent while it waits for its approval, and undo another (ARGS="--wait 60").
	$(bin)/python examples/refund_agent/demo.py $(ARGS)

test: $(ready) ## Run the tests in parallel (ARGS="-k lease" for some of them).
	$(bin)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

check: $(ready) ## Lint, check the format, both type checkers, and who may import whom.
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/pyright --pythonpath $(bin)/python
	$(bin)/lint-imports

format: $(ready) ## Put the code into the house's format.
	$(bin)/ruff check --fix-only .
	$(bin)/ruff format .

bench: $(ready) ## Measure against docs' figures.
	$(bin)/python -m benchmarks $(ARGS)

bench-peers: $(peers)/.ready ## Measure beside DBOS and LangGraph, in an environment of their own.
	$(peers)/bin/python -m benchmarks.peers $(ARGS)

soak: $(ready) ## Run the tests that take minutes, and write docs/design/kill-matrix.md.
	@rm -rf $(kills)
	AMENDS_KILLS=$(kills) AMENDS_SEED=$(SEED) $(bin)/pytest -m soak --timeout 0 -n 2 --dist loadgroup $(ARGS); \
		status=$$?; test ! -d $(kills) || $(bin)/python -m tests.crash.table $(kills) && exit $$status

planted: $(ready) ## Plant bugs in a copy of the code, and see that the tests notice (ARGS="S09 L").
	$(bin)/python -m tests.planted $(ARGS)

lock: $(ready) ## Pin what pyproject.toml asks for (ARGS=--upgrade for the newest).
	$(bin)/uv pip compile pyproject.toml --universal --all-extras --group dev --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet $(ARGS) -o requirements.lock
	$(bin)/uv pip compile pyproject.toml --universal --extra postgres --group peers --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --quiet $(ARGS) -o $(peers_lock)
	@! grep -n '://' requirements.lock $(peers_lock)

clean: ## Remove the environment and everything that was built or cached.
	rm -rf $(VENV) $(peers) build dist src/*.egg-info .coverage* .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(peers)/.ready: $(peers_lock) $(ready)
	@test -x $(peers)/bin/python || $(bin)/uv venv --quiet --python $(bin)/python $(peers)
	$(bin)/uv pip sync --quiet --python $(peers)/bin/python --require-hashes $(peers_lock)
	$(bin)/uv pip install --quiet --python $(peers)/bin/python --no-deps --no-build-isolation -e .
	@touch $@

# The stamp is touched last: a half-made environment doesn't pass for one.
$(ready): requirements.lock pyproject.toml
ifeq ($(uv),)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "amends needs Python 3.11 or newer; name one with make PYTHON=python3.13 …" >&2; exit 1; }
	@test -x $(bin)/pip || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Python can't make environments here: install uv, or on Debian" \
		"\`apt install python3-venv\`, and run make again." >&2; exit 1; }
	$(bin)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(bin)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
else
	@test -x $(bin)/python || $(uv) venv --quiet --python '>=3.11' $(VENV)
	$(uv) pip sync --quiet --python $(bin)/python --require-hashes requirements.lock
	$(uv) pip install --quiet --python $(bin)/python --no-deps --no-build-isolation -e .
endif
	@touch $@
