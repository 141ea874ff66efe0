# One command to serve, one to test. `make help` lists the rest; SETUP.md explains the variables.

PYTHON ?= $(shell sh tools/find_python.sh)
# An index, or a folder of wheels, to take torch from. Empty: the build that fits this machine.
export TORCH_INDEX ?=

venv := .venv
python := $(venv)/bin/python
pip_install := $(python) -m pip install --quiet --disable-pip-version-check
lock := $(python) -m uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--no-header --no-annotate --no-emit-index-url

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

.PHONY: serve
serve: $(venv)/.runtime model ## Install what is missing, then serve on http://127.0.0.1:8000
	@trap : INT; $(python) app.py || { status=$$?; [ $$status -eq 130 ] || exit $$status; }

.PHONY: model
model: $(venv)/.made ## Fetch the embedded model, unless it is there
	@$(python) -m tools.fetch_model || echo "The server starts without the embedded model; run make model to try again."

.PHONY: kernels
kernels: $(venv)/.made ## Compile the engine's kernels now, instead of beside the first answers
	@$(python) -m engine.kernels.build

.PHONY: test
test: $(venv)/.test chromium postgresql redis model ## Check style, types and behaviour, the browser tests included
	@sh tools/check.sh $(python)

.PHONY: bench
bench: $(venv)/.bench model ## Measure the engine beside llama.cpp and the machine's limits (12 minutes on a quiet machine)
	@$(python) -m bench.peer

.PHONY: chromium
chromium:
	@sh tools/install_chromium.sh

.PHONY: postgresql
postgresql:
	@sh tools/install_postgresql.sh

.PHONY: redis
redis:
	@sh tools/install_redis.sh

.PHONY: lock
lock: $(venv)/.made ## Pin the newest dependencies that pyproject.toml allows (uses the network)
	@$(pip_install) "uv>=0.13"
	@# What torch needs for a GPU it pins itself, exactly; naming it here would force it on CPU builds.
	@$(lock) pyproject.toml | grep -vE '^(nvidia|cuda|triton)' > requirements.new
	@$(lock) --extra test --constraint requirements.new pyproject.toml \
		| grep -vE '^(nvidia|cuda|triton)' > requirements-test.new
	@$(lock) --extra bench --constraint requirements-test.new pyproject.toml \
		| grep -vE '^(nvidia|cuda|triton)' > requirements-bench.new
	@for name in requirements requirements-test requirements-bench; do \
		{ printf '# Made by "make lock" from pyproject.toml. Do not edit.\n'; cat $$name.new; } > $$name.txt; rm $$name.new; \
	done
	@git diff --stat -- requirements.txt requirements-test.txt requirements-bench.txt

.PHONY: schema
schema: $(venv)/.runtime ## Write docs/protocol.schema.json anew from server/protocol.py
	@$(python) -m server.schema > schema.new && mv schema.new docs/protocol.schema.json

.PHONY: vendor
vendor: $(venv)/.made ## Lay the page's libraries anew into static/vendor (uses npm)
	@$(python) -m tools.vendor

.PHONY: clean
clean: ## Remove the virtual environment, kernels, caches and half-fetched files; the model stays
	rm -rf $(venv) engine/kernels/built .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info models/.part*
	find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +

# Each stamp is touched last, so a step that was interrupted is done again.

$(venv)/.made:
	@base="$(PYTHON)" && [ -n "$$base" ] && echo "Making $(venv) with $$base" && "$$base" -m venv --clear $(venv)
	@# Older releases download a whole package, CUDA and all, only to say where it lies.
	@$(pip_install) "pip>=23.3"
	@touch $@

$(venv)/.runtime: requirements.txt $(venv)/.made
	@echo "Installing torch, by far the largest dependency"
	@$(python) -m tools.install_torch
	@echo "Installing the other pinned dependencies"
	@$(pip_install) -r requirements.txt
	@touch $@

$(venv)/.test: requirements-test.txt $(venv)/.runtime
	@echo "Installing the pinned test dependencies"
	@$(pip_install) -r requirements-test.txt
	@touch $@

$(venv)/.bench: requirements-bench.txt $(venv)/.runtime
	@echo "Installing what the benchmarks compare with"
	@$(pip_install) -r requirements-bench.txt
	@touch $@
