# Everything installs what it needs. `make demo` and `make test` are all that a new user has to know.
UV := scripts/uv
SERVICES ?= embedded
GROUPS := $(if $(filter containers,$(SERVICES)),--group containers)
RUN := $(UV) run --quiet --frozen --all-extras $(GROUPS)
TESTS ?= tests
# tests mostly wait for real processes: more of them at once than there are cores. A module stays on one worker, in its
# order: its tests share a pipeline, and some look at what one before them did
PARALLEL ?= 4

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench clean

help:
	@echo "make demo    start everything, drive traffic through a metered service, print usage and the proof"
	@echo "             (KEEP=1 leaves it up)"
	@echo "make test    the whole test suite (SERVICES=containers runs it on containers; TESTS=path a part of it)"
	@echo "make lint    ruff and mypy --strict"
	@echo "make bench   measure everything against its peers, write docs/benchmarks.md"

install:
	@$(UV) sync --quiet --frozen --all-extras $(GROUPS)

demo: install
	@$(RUN) python -m examples.demo

test: install
	@METERLINE_TEST_SERVICES=$(SERVICES) $(RUN) pytest -n $(PARALLEL) --dist loadscope --no-loadscope-reorder -m "not long" $(TESTS)

lint: install
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) mypy --python-version 3.10 --package meterline

bench: install
	@$(RUN) python -m tests.benchmarks $(BENCH)

clean:
	rm -rf .venv .uv .meterline .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
