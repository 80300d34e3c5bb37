# Every target sets up .venv by itself; nothing else needs to be installed but Python 3.11+ and make.
PYTHON ?= python3
PY := .venv/bin/python
# Quiet unless something fails; the index, proxies and certificates are pip's own configuration.
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
# Tests start hundreds of interpreters; without bytecode each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick chaos load contracts pythons compat check bench docs linkcheck generate format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.venv/pip: scripts/bootstrap.py
	$(PYTHON) scripts/bootstrap.py .venv
	@touch $@

.venv/runtime: .venv/pip pyproject.toml arker/_version.py
	$(PIP) --editable '.[local,cli]'
	@touch $@

.venv/test: .venv/runtime
	$(PIP) --group test
	@touch $@

.venv/check: .venv/test
	$(PIP) --group check
	@touch $@

.venv/docs: .venv/runtime
	$(PIP) --group docs
	@touch $@

demo: .venv/runtime ## Fork a real computer on this machine, use it, branch it, delete it
	$(PY) tests/demo.py

test: .venv/test ## Run all tests, against the embedded deployment
	$(PY) -m pytest -n auto

# Versions of the package that others published, and the live tests of their sdists.
build/compat/ready: scripts/compat.py scripts/bootstrap.py .venv/test
	$(PIP) --group compat
	$(PYTHON) scripts/compat.py build/compat
	@touch $@

compat: build/compat/ready ## Run the live tests of the published clients against the embedded deployment
	$(PY) -m pytest tests/compat

contracts: .venv/test ## Run the client's tests against a deployment that speaks contract 0.1 alone, then 0.3 alone
	ARKER_TEST_CONTRACT=0.1 $(PY) -m pytest -q -n auto tests/client
	ARKER_TEST_CONTRACT=0.3 $(PY) -m pytest -q -n auto tests/client

load: .venv/test ## A thousand readers, 500 runs, floods of 1 GB: the long form of tests/load, with its figures
	ARKER_LOAD=long $(PY) -m pytest -q -s tests/load

pythons: ## Run the tests with every supported Python that this machine has; TESTS="tests/unit -x" for some of them
	$(PYTHON) scripts/pythons.py $(TESTS)

chaos: .venv/test ## Kill, flood and fill a deployment for five minutes; every acknowledged effect is checked
	ARKER_CHAOS_SECONDS=$${ARKER_CHAOS_SECONDS:-300} $(PY) -m pytest -q -s tests/chaos

test-quick: .venv/test ## Run what most changes need: all but the slow tests
	$(PY) -m pytest -n auto -m 'not slow'

check: .venv/check ## Specs, generated and derived code, format, lint, types
	$(PY) scripts/generate.py --check
	$(PY) scripts/unasync.py --check
	$(PY) scripts/house.py --check
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pyright
	@# It finds the package by the first python on the path.
	PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) -m pyright --verifytypes arker --ignoreexternal

# The peers' dependencies stay out of .venv; the original SDK shares its import name with this one, so it is beside them.
build/bench/ready: scripts/bootstrap.py pyproject.toml
	$(PYTHON) scripts/bootstrap.py build/bench/env
	build/bench/env/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[local]' --group bench
	rm -rf build/bench/arker-0.1.2
	build/bench/env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/bench/arker-0.1.2 arker==0.1.2
	@touch $@

bench: build/bench/ready ## Measure the client beside its peers; the figures go to benchmarks/results/
	build/bench/env/bin/python -m benchmarks

docs: .venv/docs ## Build the site into site/; a broken link or an undescribed type is an error
	rm -rf site
	$(PY) -m sphinx --fail-on-warning --keep-going --nitpicky --quiet --jobs auto docs site

linkcheck: .venv/docs ## Visit every external link of the site; needs the network
	$(PY) -m sphinx --builder linkcheck --quiet docs site/.linkcheck

generate: .venv/check ## Regenerate generated/ from openapi/, each _sync from its _async, and docs/house.svg
	$(PY) scripts/generate.py
	$(PY) scripts/unasync.py
	$(PY) scripts/house.py

format: .venv/check ## Format, and mend what the linter can
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

clean: ## Remove .venv and everything that was built
	rm -rf .venv build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
