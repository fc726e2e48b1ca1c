BIN := .venv/bin
TIMED := bash tests/tools/timed.sh
READY := .venv/.setup
PARTS := setup lint test-unit sanity galaxy molecule test-stand

# Much of the time of stand tests is waiting. Each worker begins with tests that stand together, and then takes over what
# another has not begun.
AT_ONCE := --numprocesses 3 --dist worksteal

# Only here: kubernetes.core and this collection, whatever the machine has installed.
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.collections
# Where the stand keeps what it builds; molecule's configuration needs it by name.
export XDG_CACHE_HOME ?= $(HOME)/.cache
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help test test-all test-faults fuzz pins audit soak bench bench-scale demo demo-accuracy clean $(PARTS)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## make .venv and .collections (quick when nothing changed)
	@$(TIMED) setup bash tests/tools/setup.sh

$(READY): tests/requirements-dev.lock tests/tools/setup.sh
	@bash tests/tools/setup.sh

lint: $(READY) ## yamllint, ansible-lint, ruff, mypy
	@$(TIMED) yamllint yamllint --strict .
	@$(TIMED) ansible-lint ansible-lint --strict
	@$(TIMED) "ruff check" ruff check
	@$(TIMED) "ruff format" ruff format --check
	@$(TIMED) mypy mypy -p ansible_collections.aigateway.metering

test-unit: $(READY) ## tests of the domain code: no cluster, below 30 s
	@$(TIMED) test-unit pytest tests/unit

sanity: $(READY) ## ansible-test sanity
	@$(TIMED) sanity bash tests/tools/sanity.sh

galaxy: $(READY) ## what Galaxy would say of the built collection, and its documentation as HTML
	@$(TIMED) galaxy bash tests/tools/galaxy.sh

molecule: $(READY) ## the roles in their scenario, on the stand, which stays
	@$(TIMED) molecule molecule test -s default

test-stand: $(READY) ## the tests that need the stand, on several clusters at once, which stay
	@$(TIMED) "stand up" $(BIN)/python tests/stand/stand up
	@$(TIMED) test-stand pytest tests/e2e -m "not long" $(AT_ONCE)

demo: $(READY) ## the whole thing on the stand, shown
	@$(TIMED) demo $(BIN)/python tests/demo.py

demo-accuracy: $(READY) ## a period full of events: the ledger, the report and the usual queries side by side
	@$(TIMED) demo-accuracy $(BIN)/python tests/demo_accuracy.py

fuzz: $(READY) ## a million odd inputs, which writes docs/reliability.md; it can be interrupted
	@$(TIMED) fuzz $(BIN)/python tests/fuzz.py

test-faults: $(READY) ## every answer spoilt, which takes hours; it can be interrupted, and writes docs/reliability.md
	@$(TIMED) test-faults $(BIN)/python tests/faults.py

pins: ## the versions and hashes of what tests use, as tests/requirements-dev.txt has them now
	@bash tests/tools/pins.sh

audit: ## whether a package that tests use is known to be vulnerable, as PyPI tells
	@bash tests/tools/pins.sh --audit

soak: $(READY) ## two hours of traffic with something happening, which writes docs/reliability.md; it can be interrupted
	@$(TIMED) soak $(BIN)/python tests/soak.py

bench: $(READY) ## how long runs take beside the same job done otherwise; writes docs/benchmarks.md
	@$(TIMED) bench $(BIN)/python tests/bench/runs.py

bench-scale: $(READY) ## modules in a large cluster, which writes docs/scale.md, and a month of many series
	@$(TIMED) scale $(BIN)/python tests/bench/scale.py
	@$(TIMED) month $(BIN)/python tests/bench/month.py --ways windows

test: ## everything, with a table of times at the end
	@$(TIMED) --each $(PARTS)

test-all: test ## what is longer, after everything else
	@$(TIMED) test-long pytest tests/e2e -m long $(AT_ONCE)

clean: ## remove what setup and the tests made in this clone; the stand stays
	rm -rf .venv .collections .cache .ansible .hypothesis tests/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
