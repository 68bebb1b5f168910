# Two commands: `make lab` opens the course, `make test` checks everything. Needs Python >= 3.11, git and make.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
NETWORK_OFF := unshare --net $(if $(filter-out 0,$(shell id -u)),--map-root-user)

# What is installed is known by the content of pyproject.toml and the folder: an unchanged project installs nothing
# and needs no network.
KEY := $(firstword $(shell { cat pyproject.toml; pwd; } | cksum))
FOR_LAB := $(VENV)/lab-$(KEY)
FOR_TESTS := $(VENV)/tests-$(KEY)

NBVAL := --nbval --nbval-current-env --nbval-sanitize-with=tests/notebooks/sanitize.cfg --nbval-cell-timeout=120
TESTS := tests
CHAPTERS := $(sort $(wildcard notebooks/*.ipynb))

.PHONY: help lab test test-fast test-offline notebooks slides shipped bench style

help:
	@echo "make lab           open the course in JupyterLab (installs into .venv the first time)"
	@echo "make test          run every check; test-fast: no browser, no notebooks; test-offline: without network"
	@echo "make notebooks     build the chapters from notebooks/source (NAME=00_costs for one)"
	@echo "make slides        chapters as slides in build/slides (REVEAL=folder of a local reveal.js)"
	@echo "make shipped       make shipped files again: WHAT=name; make bench NAME=name: timed comparisons"
	@echo "make style         let ruff mend what it can"

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; name one with: make lab PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(FOR_LAB): | $(PY)
	@echo "installing into $(VENV); the first time takes some minutes"
	$(PY) -m pip install -qq --editable .
	touch $@

$(FOR_TESTS): | $(PY)
	@echo "installing into $(VENV); the first time takes some minutes"
	$(PY) -m pip install -qq --editable '.[test]'
	touch $@ $(FOR_LAB)

lab: $(FOR_LAB)
	$(PY) -m labcore.cli lab

test: $(FOR_TESTS)
	$(PY) -m pytest --no-header $(TESTS) $(CHAPTERS) $(NBVAL)

test-fast: $(FOR_TESTS)
	$(PY) -m pytest tests -m "not browser and not slow"

test-offline:
	@test -e $(FOR_TESTS) || { echo "install first, with network: make test"; exit 1; }
	$(NETWORK_OFF) sh -c 'ip link set lo up && exec $(MAKE) test'

notebooks: $(FOR_TESTS)
	$(PY) notebooks/build.py $(NAME)

slides: $(FOR_LAB)
	$(PY) notebooks/slides.py $(REVEAL)

shipped: $(FOR_TESTS)
	$(PY) -m labcore.recipes $(WHAT)

bench: $(FOR_TESTS)
	$(PY) benchmarks/run.py $(NAME)

style: $(FOR_TESTS)
	$(PY) -m ruff check --fix .
