# Each target sets up what it needs. PYTHON chooses the interpreter of a new .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup tour test test-faults lint clean

setup: .venv/.ready

# Anything that changes what must be installed changes pyproject.toml; the editable install sees every other edit.
.venv/.ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

tour: setup
	$(BIN)/lbscale tour

test: setup
	$(BIN)/python -m pytest -q -n auto --dist loadfile

test-faults: setup
	$(BIN)/python -m pytest -q -n auto --dist load tests/faults

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
