# Nova: `make demo` tries it, `make test` checks it. Everything happens in .venv and var.
PYTHON ?= python3
RUN := .venv/bin/python
STACK := $(RUN) -m embedded
LOCK := $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help demo up down status logs test check chaos bench-ingest bench-feed bench-jobs lock venv venv-dev

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: venv ## install, start everything and a simulated community; Ctrl-C stops it
	@$(STACK) demo

up: venv ## start everything in the background
	@$(STACK) up

down: ## stop everything; safe to call twice
	@if [ -x $(RUN) ]; then $(STACK) down; fi

status: venv ## what runs, where, since when
	@$(STACK) status

logs: venv ## the log of one part: make logs NAME=kafka
	@$(STACK) logs $(NAME)

test: venv-dev ## all tests, on real engines: make test ARGS="-k feed"
	@$(RUN) -m pytest $(ARGS)

check: venv-dev ## style, types, import directions
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@NOVA_VAR=var/check $(STACK) run --planned -- mypy .
	@.venv/bin/lint-imports

chaos: venv-dev ## kill and freeze what runs, then look whether anything is lost: make chaos ARGS="--seconds 60"
	@$(RUN) -m tests.chaos $(ARGS)

bench-ingest: venv-dev ## the consumers beside ClickHouse's own engine and the raw ceilings
	@$(RUN) -m benchmarks.ingest $(ARGS)

bench-feed: venv-dev ## kept feeds beside a bare view, new ones beside one big query, and how that grows
	@$(RUN) -m benchmarks.feed $(ARGS)

bench-jobs: venv-dev ## how fast suggestions and trending are made, and how that grows
	@$(RUN) -m benchmarks.jobs $(ARGS)

lock: venv-dev ## renew the lock files from requirements/*.in and embedded/jgo.toml
	@for name in base embedded dev; do $(LOCK) requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	@$(RUN) -m embedded.jars

venv:
	@$(PYTHON) -m embedded.bootstrap embedded

venv-dev:
	@$(PYTHON) -m embedded.bootstrap dev
