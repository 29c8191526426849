# make run     set up and start a development server
# make test    set up and run the tests on SQLite
# make check   everything that a change must pass: format, lint, types, imports, tests on SQLite and PostgreSQL
# make synapse install the Synapse that some tests start; without it they are skipped
# make sydent  install the Sydent that some tests replace; without it they are skipped
# make bench   measure; prints ratios to a floor in the same run
# make site    build the documentation site into build/site
# make dist    build the wheel and the source distribution into dist/
# make audit   ask for known vulnerabilities of the dependencies (pip-audit)
# make release check, audit, build, and write a bill of materials; TAG=yes also sets the tag of the version
# make lock    pin the newest allowed versions of all dependencies

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NODE_FOLDERS := tests/clients/matrix_js_sdk tests/clients/matrix_js_sdk_oauth tests/browser/axe_core
SYNAPSE := build/synapse-venv
SITE := build/site-venv
SYDENT := build/sydent-venv
AUDIT := build/audit-venv
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Tests start hundreds of processes: each module is compiled once, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test check synapse sydent format lint types imports bench docs site audit dist release lock clean

run: $(VENV)/.run
	$(BIN)/threepid serve

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not alone"
	$(BIN)/python -m pytest -m alone

check: $(VENV)/.dev $(SYNAPSE)/.installed $(SYDENT)/.installed lint types imports site
	scripts/system-packages postgresql sqlite3 strace curl systemd nginx caddy chromium fonts-droid-fallback nodejs npm prometheus fail2ban jq
	$(BIN)/python -m pytest --postgres -n auto --dist worksteal -m "not alone"
	$(BIN)/python -m pytest --postgres -m alone

synapse: $(SYNAPSE)/.installed

sydent: $(SYDENT)/.installed

format: $(VENV)/.dev
	$(BIN)/ruff format src tests bench
	$(BIN)/ruff check --fix src tests bench

lint: $(VENV)/.dev
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	scripts/system-packages wrk
	$(BIN)/python bench/run.py

docs: $(VENV)/.dev
	$(BIN)/python scripts/generate-docs
	$(BIN)/python scripts/extract-sentences

site: $(SITE)/.installed
	$(SITE)/bin/python scripts/build-site

dist: $(VENV)/.run
	rm -rf dist
	$(BIN)/hatchling build

audit: $(AUDIT)/.installed
	$(PYTHON) scripts/audit-dependencies $(AUDIT)/bin/pip-audit

release: check audit dist
	$(BIN)/python scripts/prepare-release $(if $(TAG),--tag)

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
	    pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
	    --group pyproject.toml:build -o requirements/build.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
	    --group build --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
	    requirements/synapse.in -o requirements/synapse.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
	    requirements/site.in -o requirements/site.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
	    requirements/sydent.in -o requirements/sydent.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
	    requirements/audit.in -o requirements/audit.txt
	for folder in $(NODE_FOLDERS); do (cd $$folder && npm update --package-lock-only --ignore-scripts --no-audit --no-fund) || exit 1; done

clean:
	rm -rf build $(NODE_FOLDERS:=/node_modules)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.run: requirements/run.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "threepid needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/run.txt -r requirements/build.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	touch $@

# Each of these programs has an environment of its own, which needs nothing but its pins.
build/%-venv/.installed: requirements/%.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	touch $@
