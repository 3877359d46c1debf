# Every target makes its own virtual environment first; it needs Python >= 3.11 and a C compiler.
PYTHON ?= python3
SOURCE ?= .
BENCH ?=
TESTS ?=
TORTURE ?=
BIN := .venv/bin
CODE := engine cli tests benchmarks
C_SOURCE := engine/holdfast/chunking/_gear.c
.DEFAULT_GOAL := help
.PHONY: help venv dev demo check test test-pure golden bench torture clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: .venv/installed ## make .venv with holdfast in it
dev: .venv/developing ## the same, with the tools for development

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "holdfast needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml $(C_SOURCE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/developing: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: venv ## init, back up (SOURCE=/path), restore, compare and check, in ./demo
	$(BIN)/python benchmarks/demo.py --program $(BIN)/holdfast --source '$(SOURCE)' --directory demo

check: dev ## linter, format, types, architecture
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/python -m pytest -q tests/unit/test_architecture.py

test: check ## check, then all tests (TESTS='-k name' passes options to pytest)
	$(BIN)/python -m pytest -n auto --dist loadgroup $(TESTS)

test-pure: dev ## tests of the chunker without its C extension
	$(BIN)/python -c "import sys, pytest; sys.modules['holdfast.chunking._gear'] = None; \
		sys.exit(pytest.main(['-q', 'tests/unit/chunking', 'tests/properties/test_chunking.py']))"

golden: dev ## write golden files anew, after a decided change of the format
	$(BIN)/python -m pytest -q tests/unit/format --update-golden

bench: dev ## compare with the backup programs that are installed (BENCH='--sets kernel' passes options)
	$(BIN)/python benchmarks/compare_peers.py --holdfast $(BIN)/holdfast $(BENCH)

torture: dev ## real processes on one repository, stopped and killed (TORTURE='--seconds 3600 --ceph')
	$(BIN)/python tests/torture/torture.py --seconds 120 $(TORTURE)

clean: ## remove the environment, the demo and everything built
	rm -rf .venv demo build dist *.egg-info engine/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} + ; rm -f engine/holdfast/chunking/_gear*.so
