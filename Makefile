# Every command runs from $(VENV); `make VENV=/elsewhere ...` uses another environment.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PLAIN_PIP := $(BIN)/python -m pip install --disable-pip-version-check
PIP    := $(PLAIN_PIP) -c constraints.txt
TORCH  := $(shell grep '^torch==' constraints.txt)
# Where torch comes from. Plain pip brings the CUDA build on Linux, several GB; the CPU build:
# make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

QUICKSTART_CONFIG     ?= quickstart
QUICKSTART_RUN        ?= logs/quickstart
QUICKSTART_CKPT       ?= $(QUICKSTART_RUN)/checkpoints/best.ckpt
QUICKSTART_RESULTS    ?= $(QUICKSTART_RUN)/results.json
QUICKSTART_POPULATION ?= unseen_ucb epsilon_greedy
QUICKSTART_SHOTS      ?= 0 1
QUICKSTART_AGENTS     ?= 1000

BENCHMARKS  ?= w1 scaling phases live
PYTEST_ARGS ?= -n 2 -m "not slow"

.DEFAULT_GOAL := help
.PHONY: help quickstart test lint format type docs bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

quickstart: $(VENV)/.run ## Install, train a small principal and score it on unseen agents
	$(BIN)/mermaide fit --config $(QUICKSTART_CONFIG)
	$(BIN)/mermaide evaluate --ckpt_path $(QUICKSTART_CKPT) \
		--population $(QUICKSTART_POPULATION) --shots $(QUICKSTART_SHOTS) \
		--num_agents $(QUICKSTART_AGENTS) --seed 0 --out $(QUICKSTART_RESULTS)

# One thread per worker: the tests are many small operations, which threads only slow down.
test: $(VENV)/.dev ## Run the fast tests (all of them: make test PYTEST_ARGS="-n 2")
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Check style, format and the import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## Apply the fixes and the format that lint asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(VENV)/.dev ## Check the package's types
	$(BIN)/mypy

docs: $(VENV)/.dev ## Build the site, strictly, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.bench ## Time the meta-step: against other libraries, its scaling, its phases
	set -e; for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py; done

clean: ## Delete caches and build outputs (keeps .venv and logs)
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.*' -prune -exec rm -rf {} +

# Stamp files: an environment is installed again only when these inputs change.
# torch goes first and at exactly its pinned version: an open range may fetch another build,
# several GB larger. From another index it comes without the constraints, which that may not have.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PLAIN_PIP) --index-url $(TORCH_INDEX),$(PIP)) $(TORCH)
	touch $@

$(VENV)/.run: $(VENV)/.torch pyproject.toml
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(PIP) -e '.[dev]'
	touch $(VENV)/.run $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) -e '.[dev,bench]'
	touch $@
