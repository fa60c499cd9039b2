# Each target sets up .venv by itself; `make help` lists them.
PYTHON ?= python3.11
# Test processes of one thread; a file's tests share one, and so its models. 0 runs all in the first.
WORKERS ?= 2

BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(READY)  ## make .venv with everything for development

demo: $(READY)  ## the whole path, from text to an answer, in a few minutes
	$(BIN)/albatross demo

test: $(READY)  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(READY)  ## format, lint, types, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/deptry src

format: $(READY)  ## put the code in its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## run the benchmarks that need no data, name the others
	@for script in benchmarks/*.py; do \
		if [ ! -e "$$script" ]; then echo "there are no benchmarks yet"; \
		elif grep -q '^Needs data:' "$$script"; then \
			echo "not run: $$script ($$(grep -m 1 '^Needs data:' "$$script"))"; \
		else echo "== $$script"; $(BIN)/python "$$script" || exit 1; fi; \
	done
