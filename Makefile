# make demo       a cluster in containers on this machine, and the whole way through site.yml on it
# make test       lint, unit tests, and every role in ppc64le containers: what CI runs on every push
# make bench      what conda takes against the tutorial's own commands, and what a session takes; docs/benchmarks*.md keep the result
# make bench-session  what a session takes, alone
# make bench-onboard  what a cohort takes against the tutorial's own commands for each user, in docs/benchmarks-onboard.md
# make newest     the whole way with the newest ansible-core, where a Python 3.12 or newer is at hand
# make test-all   the full matrices on this machine's own architecture, and the lab and the tutorial's old environment in a browser
# make screenshots  the pictures of the lab in docs/pictures, taken anew by the browser's tests
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
RESULTS := .cache/results
# What of the unit tests runs; `make unit TIER=` runs all of them.
TIER := not full

.PHONY: help setup controller demo demo-down test test-all lint unit molecule bench bench-session bench-onboard newest screenshots lock

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup:
	@scripts/setup

controller:
	@scripts/setup --controller

demo: setup
	@scripts/demo

demo-down: setup
	@scripts/demo --down

test: setup
	@scripts/test

lint: setup
	yamllint --strict .
	ruff check .
	ruff format --check .
	shellcheck --shell=dash --exclude=SC1091 scripts/setup scripts/minitriton scripts/newest .ci/run $$(git ls-files '*.sh')
	ansible-lint --strict --offline

# In docs/test-all.md it says what has passed, when and where.
test-all:
	@scripts/setup --all
	@scripts/test --all

unit: setup
	pytest tests/unit -n 2 --dist loadfile -m '$(TIER)' --junit-xml=$(RESULTS)/unit.xml

molecule: setup
	molecule destroy && molecule test --all

# On a machine that does nothing else meanwhile.
bench: setup
	@benchmarks/conda; missed=$$?; benchmarks/session && exit $$missed # both, though the first should miss a target

bench-session: setup
	@benchmarks/session

# Takes long: 25, 50, 100 and 200 users.
bench-onboard: setup
	@benchmarks/onboard

# ansible-core's newest needs a newer Python than Debian 12's. The whole way once with it, on this machine's own architecture.
newest: setup
	@scripts/newest

screenshots:
	@scripts/setup --all
	SLIPWAY_PICTURES=$(RESULTS)/pictures pytest tests/browser/test_lab.py
	cp $(RESULTS)/pictures/lab-*.png docs/pictures/

# The locks are universal: each ansible-core is the newest that the Python at hand can have.
lock: setup
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command 'make lock' requirements.in -o requirements.txt
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command 'make lock' requirements-dev.in -o requirements-dev.txt
	cd tests/tutorial && uv pip compile --quiet --generate-hashes --python-version 3.11 --exclude-newer 2023-02-01 --no-annotate \
	  --no-emit-index-url --no-emit-find-links --override overrides.txt --custom-compile-command 'make lock' requirements.in -o requirements.txt
	cd tests/native/hub && uv pip compile --quiet --generate-hashes --python-version 3.11 --no-annotate --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command 'make lock' requirements.in -o requirements.txt
	cd tests/native/hub && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
