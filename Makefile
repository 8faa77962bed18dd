# Every command runs from $(VENV); `make VENV=/elsewhere ...` uses another environment.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
TORCH  := $(shell grep '^torch==' constraints.txt)
# Where torch comes from. Plain pip brings the CUDA build on Linux, several GB; the CPU build:
# make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
INSTALL_TORCH = $(1) install --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),-c constraints.txt) $(TORCH)

QUICKSTART_CONFIG     ?= quickstart
QUICKSTART_RUN        ?= logs/quickstart
QUICKSTART_CKPT       ?= $(QUICKSTART_RUN)/checkpoints/best.ckpt
QUICKSTART_RESULTS    ?= $(QUICKSTART_RUN)/results.json
QUICKSTART_POPULATION ?= unseen_ucb epsilon_greedy
QUICKSTART_SHOTS      ?= 0 1
QUICKSTART_AGENTS     ?= 1000

BENCHMARKS  ?= w1 scaling phases live
# A file of tests goes to one worker, so that what its tests share is made once.
PYTEST_ARGS ?= -n 2 --dist loadfile -m "not slow"

# The environment in which a release is tried, and what is run there, in an empty folder.
TRIED     := build/tried
QUICK_RUN = unset PYTHONPATH && rm -rf $(TRIED)/run && mkdir $(TRIED)/run && cd $(TRIED)/run && \
	../bin/mermaide fit --config quickstart --trainer.max_epochs 1 --data.steps_per_epoch 2 && \
	../bin/mermaide evaluate --ckpt_path logs/quickstart/checkpoints/best.ckpt \
		--population unseen_ucb --num_agents 20 --num_tuning_agents 5

.DEFAULT_GOAL := help
.PHONY: help quickstart test lint format type docs bench notebooks try-it release principals clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

quickstart: $(VENV)/.run ## Install, train a small principal and score it on unseen agents
	$(BIN)/mermaide fit --config $(QUICKSTART_CONFIG)
	$(BIN)/mermaide evaluate --ckpt_path $(QUICKSTART_CKPT) \
		--population $(QUICKSTART_POPULATION) --shots $(QUICKSTART_SHOTS) \
		--num_agents $(QUICKSTART_AGENTS) --seed 0 --out $(QUICKSTART_RESULTS)

# One thread per worker: the tests are many small operations, which threads only slow down.
test: $(VENV)/.dev ## Run the fast tests (all of them: make test PYTEST_ARGS="-n 2 --dist loadfile")
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

notebooks: $(VENV)/.dev ## Execute the notebooks and store them with what they print and draw
	OMP_NUM_THREADS=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
		--coalesce-streams --ExecutePreprocessor.record_timing=False notebooks/*.ipynb

release: $(VENV)/.release ## Build wheel, sdist and site, and try both in an empty environment
	rm -rf build dist/mermaide_pl-*
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/mermaide_pl-*
	$(PYTHON) -m venv $(TRIED)
	$(call INSTALL_TORCH,$(TRIED)/bin/python -m pip)
	$(TRIED)/bin/python -m pip install -c constraints.txt dist/mermaide_pl-*.whl
	$(QUICK_RUN)
	$(TRIED)/bin/python -m pip install --force-reinstall --no-deps dist/mermaide_pl-*.tar.gz
	$(QUICK_RUN)
	$(MAKE) try-it docs

principals: $(VENV)/.run ## Pack the principals of the comparisons into the archive of the release
	$(BIN)/mermaide pack --out dist/mermaide-principals.zip

try-it: $(VENV)/.dev ## Make the interactive page, docs/try_it/index.html; needs npm
	$(BIN)/python docs/hooks/try_it.py

clean: ## Delete caches and build outputs (keeps .venv and logs)
	rm -rf build dist site docs/try_it/vendor *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.*' -prune -exec rm -rf {} +

# Stamp files: an environment is installed again only when these inputs change.
# torch goes first and at exactly its pinned version: an open range may fetch another build,
# several GB larger. From another index it comes without the constraints, which that may not have.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(call INSTALL_TORCH,$(BIN)/python -m pip)
	touch $@

$(VENV)/.run: $(VENV)/.torch pyproject.toml
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(PIP) -e '.[dev]'
	touch $(VENV)/.run $@

$(VENV)/.release: $(VENV)/.dev
	$(PIP) -e '.[dev,release]'
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) -e '.[dev,bench]'
	touch $@
