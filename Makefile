# The environment lives in .venv and is made on first use; it needs Python 3.11 or 3.12 and no compiler. (Later ones: PyMCubes has no
# wheel for them yet.)
# `make demo` and `make serve` install what serving needs (no torch), the other targets everything.

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))
# The first of these that is supported; PYTHON=/path/to/python3 overrides it.
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)
# pip's default index decides which build of torch this is. For the small CPU build on Linux:
# make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH ?= torch==2.13.0
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all:
INSTALL := $(PIP_INSTALL) --constraint requirements/constraints.txt
REQUIREMENTS := pyproject.toml requirements/constraints.txt

# ONNX Runtime's wheels report usage unless told not to.
export ORT_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help demo serve test check bench train-demo clean

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target purpose; do \
		printf '  make %-12s%s\n' "$$target" "$$purpose"; done

demo: $(VENV)/.serving ## Reconstruct docs/sample.png through the service: out/part.glb and out/part.png
	$(BIN)/python docs/examples/demo.py

serve: $(VENV)/.serving ## Start the service on http://127.0.0.1:8000 (MONOTWIN_HOST, MONOTWIN_PORT)
	$(BIN)/monotwin serve

test: $(VENV)/.development ## Run the tests that need neither a GPU nor patience
	$(BIN)/python -m pytest

check: $(VENV)/.development ## Check format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict app model
	$(BIN)/lint-imports

bench: $(VENV)/.development ## Measure latency, the query, throughput, memory and training data, all short
	$(BIN)/python -m benchmarks.latency --repeats 5 --seconds 15
	$(BIN)/python -m benchmarks.query --rounds 3
	$(BIN)/python -m benchmarks.throughput --seconds 6
	$(BIN)/python -m benchmarks.memory --repeats 1
	$(BIN)/python -m benchmarks.data --shapes 16 --steps 5

TRAIN_DEMO := out/train-demo
train-demo: $(VENV)/.development ## Parts, training, export and evaluation, small: out/train-demo
	$(BIN)/monotwin data generate --out $(TRAIN_DEMO)/data --shapes 146 --views 6 --image-size 64 --near-points 8000 --uniform-points 6000
	$(BIN)/monotwin train training/runs/smoke.toml --data $(TRAIN_DEMO)/data --out $(TRAIN_DEMO)/run
	$(BIN)/monotwin export $(TRAIN_DEMO)/run/checkpoint.pt --data $(TRAIN_DEMO)/data --out $(TRAIN_DEMO)/bundle --no-calibrate-query
	$(BIN)/monotwin evaluate $(TRAIN_DEMO)/bundle --data $(TRAIN_DEMO)/data --shapes 3 --resolution 64

clean: ## Remove the environment and everything under out/
	rm -rf $(VENV) out

$(BIN)/python:
	@$(or $(PYTHON),false) -c '$(SUPPORTED)' || { echo "Monotwin needs Python 3.11 or 3.12, found $(or $(PYTHON),$$(python3 --version 2>&1))." \
		"Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.serving: $(REQUIREMENTS) | $(BIN)/python
	$(INSTALL) --editable '.[cpu]' httpx pillow
	@touch $@

$(VENV)/.development: $(REQUIREMENTS) | $(BIN)/python
	$(PIP_INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	$(INSTALL) --editable '.[cpu,postgres,otel,heic,train,dev]'
	@touch $(VENV)/.serving $@
