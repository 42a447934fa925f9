# Everything is installed into .venv, from locks with hashes, by whichever of uv, pip or venv this machine allows.
.DEFAULT_GOAL := help
PYTHON ?= python3
LOCK := requirements/dev.txt
BIN := .venv/bin
UV := .tools/bin/uv
READY := .venv/.ready

.PHONY: help demo up test chaos bench check docs pictures format lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

demo: $(READY) ## send 1,000 messages through the whole system on this machine, show the result, stop
	@$(BIN)/sms demo

up: $(READY) ## run everything on this machine: Redis-compatible server, SQLite, sandbox gateway, worker, beat
	@$(BIN)/sms up

test: $(READY) ## every test: real Redis, PostgreSQL and SQLite, a real HTTP server, a real worker
	@$(BIN)/pytest

chaos: $(READY) ## break everything on purpose for half an hour, account for every message; SEED=… runs one again
	@$(BIN)/python -m tests.chaos.run $(if $(SEED),--seed $(SEED))

bench: $(READY) ## how fast it is, beside what people use instead: five minutes; LONG=1: all of it, some hours
	@$(BIN)/python bench/all.py $(if $(LONG),--long)

check: $(READY) ## format, lint, types, import contracts, migrations, docs, compose file
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/pytest -q -m check

docs: $(READY) ## write the pages that come from the code itself, and of speed from what was measured
	@$(BIN)/python tests/papers/test_settings_pages.py
	@$(BIN)/python tests/papers/test_schemas.py
	@$(BIN)/python tests/papers/test_database_page.py
	@$(BIN)/python tests/papers/test_commands_page.py
	@$(BIN)/python bench/pages.py

pictures: $(READY) ## take the docs' pictures of the web page anew; needs a Chromium
	@$(BIN)/python tests/browser/pictures.py

format: $(READY) ## let ruff put the code in order
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(UV) ## resolve the dependencies anew into requirements/*.txt
	@$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade pyproject.toml -o requirements/run.txt
	@$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade --extra dev pyproject.toml -o $(LOCK)
	@printf 'hatchling>=1.27\n' | $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade - -o requirements/build.txt

clean: ## remove what was installed and made; the databases in .sms stay
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# Debian's python3 has neither venv nor an installable pip (PEP 668), but pip can always fill a folder.
$(UV):
	@$(PYTHON) -m pip install -q --disable-pip-version-check --no-warn-script-location --target .tools uv || true

$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@test -x $(UV) || $(MAKE) --no-print-directory $(UV)
	@if test -x $(UV); then \
	  test -x $(BIN)/python || $(UV) venv -q --python $(PYTHON) .venv; \
	  $(UV) pip sync -q --require-hashes --python $(BIN)/python $(LOCK) && \
	  $(UV) pip install -q --no-deps --no-build-isolation --python $(BIN)/python -e .; \
	else \
	  test -x $(BIN)/python || $(PYTHON) -m venv --without-pip .venv; \
	  $(PYTHON) -m pip -q --python $(BIN)/python install --require-hashes -r $(LOCK) && \
	  $(PYTHON) -m pip -q --python $(BIN)/python install --no-deps --no-build-isolation -e .; \
	fi
	@touch $@
