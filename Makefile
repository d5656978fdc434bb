# Everything a fresh machine needs: `make run` to try Relay, `make test` to test it.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip --disable-pip-version-check --quiet

.PHONY: run install install-dev test test-all test-postgresql chaos check cost docs wheel format lock clean

run: install
	$(VENV)/bin/python run.py

install: $(VENV)/installed

install-dev: $(VENV)/installed-dev

# Five minutes on two cores: what takes long by its nature is left to `make test-all`.
test: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest -n auto -m "not slow"

# And the rest: kills, daemons, every generated example, a real browser.
test-all: test
	RELAY_TESTS=all $(VENV)/bin/python -m pytest -n auto -rs -m "slow or hypothesis"
	$(VENV)/bin/python -m pytest -n auto -rs tests/browser

# The store's tests on the PostgreSQL that RELAY_TEST_POSTGRES names.
test-postgresql: $(VENV)/installed-dev
	RELAY_TESTS=all $(VENV)/bin/python -m pytest -n auto -rs tests/store -k "postgresql or cluster"

# The chaos tests in full: more kills, and those that `make test` leaves out. About an hour.
chaos: $(VENV)/installed-dev
	RELAY_CHAOS=full $(VENV)/bin/python -m pytest -rs tests/chaos tests/cluster

# What CI checks besides the tests: format, lint, types.
check: $(VENV)/installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# Whether a message takes more calls of Python functions than were written down; half a minute.
cost: $(VENV)/installed-dev
	$(VENV)/bin/python -m benchmarks.cost --check

# The pages of docs/ as a site, in docs/_build; nothing is fetched.
docs: $(VENV)/installed-dev
	$(VENV)/bin/sphinx-build -W --keep-going -n -q -b html docs docs/_build

# A wheel in dist/: `pipx install dist/relay_forms-*.whl` makes the command `relay` of it.
wheel: $(VENV)/installed-dev
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

format: $(VENV)/installed-dev
	$(VENV)/bin/ruff check --fix --select I .
	$(VENV)/bin/ruff format .

# Needs uv. The lock files carry hashes and no download address.
lock:
	uv pip compile --generate-hashes --no-emit-index-url --no-header --universal \
		--python-version 3.11 --upgrade --quiet pyproject.toml -o requirements.txt
	uv pip compile --generate-hashes --no-emit-index-url --no-header --universal \
		--python-version 3.11 --upgrade --quiet pyproject.toml requirements-dev.in \
		-c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Relay needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

# plugins/requirements.txt: what this installation's own plugins import, if anything.
PLUGIN_REQUIREMENTS := $(wildcard plugins/requirements.txt)

$(VENV)/installed: requirements.txt $(PLUGIN_REQUIREMENTS) | $(VENV)/bin/python
	$(PIP) install --require-hashes -r requirements.txt
	$(if $(PLUGIN_REQUIREMENTS),$(PIP) install -r $(PLUGIN_REQUIREMENTS))
	touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(PIP) install --require-hashes -r requirements-dev.txt
	touch $@
