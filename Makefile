# make            what there is to make
# make demo       watch it work; everything needed is installed into .venv first
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
TIERS := unit contract simulation integration process browser

# A stamp is named after what was installed: another lock file means another name, so a switch of branches installs
# again. It is written last, so that an interrupted set-up is taken up the next time.
checksum = $(shell cat $(1) | cksum | tr ' ' -)
VENV_STAMP := $(VENV)/.stamp-venv
RUN_STAMP := $(VENV)/.stamp-run-$(call checksum,requirements/run.txt)
DEV_STAMP := $(VENV)/.stamp-dev-$(call checksum,requirements/dev.txt)
VENDOR := dashboard/static/vendor
# The script says which files are taken of what the lock names.
VENDOR_STAMP := $(VENDOR)/.stamp-$(call checksum,frontend/package-lock.json tools/frontend.py)
TEST_VENDOR := tests/browser/vendor
TEST_VENDOR_STAMP := $(TEST_VENDOR)/.stamp-$(call checksum,frontend/package-lock.json tools/frontend.py)

.PHONY: help setup setup-dev demo honcho supervisord test $(TIERS:%=test-%) coverage lint format bench chaos lock clean distclean FORCE
.DEFAULT_GOAL := help

help:
	@echo 'make demo [SECONDS=30] [BROWSER=no]  play the sample film from three unequal nodes, with the dashboard'
	@echo 'make setup                           install what the client needs into $(VENV), fetch the libraries of its page'
	@echo 'make honcho [WORKERS=4]              start the five kinds of process with honcho'
	@echo 'make supervisord                     the same with supervisord'
	@echo 'make test [PYTEST_ARGS="-k name"]    all tests; one tier: $(TIERS:%=test-%)'
	@echo 'make coverage                        all tests, with a report in htmlcov/'
	@echo 'make lint, make format               check style and types; rewrite the layout'
	@echo 'make bench [QUICK=1]                 measure the client and others, write docs/benchmarks.md'
	@echo 'make bench BULK=1, make bench SCALE=1  bulk rate; many nodes and virtual time (for the next make bench)'
	@echo 'make chaos [RUNS=10 SEED=1 LANES=1]  play films while processes are killed and nodes break'
	@echo 'make lock [UPGRADE=--upgrade]        write requirements/*.txt from requirements/*.in'
	@echo 'make clean, make distclean           remove caches and reports; and all that was installed or fetched, and .data, too'

setup: $(RUN_STAMP) $(VENDOR_STAMP)
	@echo 'Ready: . $(VENV)/bin/activate'

setup-dev: $(DEV_STAMP) $(VENDOR_STAMP) $(TEST_VENDOR_STAMP)
	@echo 'Ready: . $(VENV)/bin/activate'

# An environment whose Python has gone, or is too old, is made anew.
ifneq ($(shell $(PY) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null),True)
$(VENV_STAMP): FORCE
endif

$(VENV_STAMP):
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'Python 3.11 or later is needed, and there is no "$(PYTHON)". Another one: make $(MAKECMDGOALS) PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Another one: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	@echo 'Making $(VENV) ...'
	@if $(PY) -c '' 2>/dev/null; then $(PYTHON) -m venv $(VENV); else $(PYTHON) -m venv --clear $(VENV); fi
	@touch $@

$(RUN_STAMP): $(VENV_STAMP)
	@echo 'Installing the client (about 250 MB on disk) into $(VENV) ...'
	@rm -f $(VENV)/.stamp-run-*
	@$(PIP) install --quiet --require-hashes -r requirements/run.txt
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo 'Installing test tools and linters into $(VENV) ...'
	@rm -f $(VENV)/.stamp-dev-*
	@$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

# It is quick where the files are there already, and clears the folder of old stamps where they are not.
$(VENDOR_STAMP): | $(RUN_STAMP)
	@$(PY) tools/frontend.py
	@touch $@

$(TEST_VENDOR_STAMP): | $(DEV_STAMP)
	@$(PY) tools/frontend.py --tests
	@touch $@

# exec: Ctrl-C and TERM reach the demo itself.
demo: $(RUN_STAMP) $(VENDOR_STAMP)
	@exec env $(if $(SECONDS),SECONDS='$(SECONDS)') $(if $(BROWSER),BROWSER='$(BROWSER)') $(PY) tools/demo.py

honcho: $(RUN_STAMP) $(VENDOR_STAMP)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" exec honcho start -c worker=$(or $(WORKERS),1)

supervisord: $(RUN_STAMP) $(VENDOR_STAMP)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" exec supervisord -n -c supervisord.conf

test: $(DEV_STAMP) $(VENDOR_STAMP) $(TEST_VENDOR_STAMP)
	@$(PY) -m pytest $(PYTEST_ARGS)

$(TIERS:%=test-%): test-%: $(DEV_STAMP) $(VENDOR_STAMP) $(TEST_VENDOR_STAMP)
	@$(PY) -m pytest tests/$* $(PYTEST_ARGS)

coverage: $(DEV_STAMP) $(VENDOR_STAMP) $(TEST_VENDOR_STAMP)
	@$(PY) -m pytest --cov=. --cov-report=term --cov-report=html $(PYTEST_ARGS)

lint: $(DEV_STAMP)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy --strict
	@$(PY) -m pylint *.py

format: $(DEV_STAMP)
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

# One run of all clients in all scenarios takes hours: each plays its films at their own pace.
bench: $(DEV_STAMP)
# What BULK=1 and SCALE=1 measure is on the page that the next one writes.
ifdef BULK
	@$(PY) -m bench.bulk --json .data/bench/bulk.json $(BENCH_ARGS)
else ifdef SCALE
	@$(PY) -m bench.planner --json .data/bench/planner.json
	@$(PY) -m bench.monitor_scale --json .data/bench/monitor.json
	@$(PY) -m bench.simulate --seeds 10 --json .data/bench/simulation.json
else
	@$(PY) -m bench real $(BENCH_ARGS)
	@$(PY) -m bench report
endif

# Extras stay in the lines: without them pip refuses the locked base of `name[extra]` as soon as a newer release is out.
# The smaller sets start from the largest one's pins, so that all four agree.
COMPILE := CUSTOM_COMPILE_COMMAND='make lock' $(VENV)/bin/pip-compile --quiet --generate-hashes --allow-unsafe --no-strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
chaos: $(DEV_STAMP)
	@exec $(PY) -m chaos --runs $(or $(RUNS),10) --seed $(or $(SEED),1) --lanes $(or $(LANES),1)

lock: $(DEV_STAMP)
	@$(COMPILE) $(UPGRADE) --output-file=requirements/dev.txt requirements/dev.in
	@for set in test run runtime; do \
	  cp requirements/dev.txt requirements/$$set.txt && \
	  $(COMPILE) --output-file=requirements/$$set.txt requirements/$$set.in || exit 1; \
	done

clean:
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis htmlcov .coverage .coverage.* build dist
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	@rm -rf $(VENV) $(VENDOR) $(TEST_VENDOR) .data

FORCE:
