# make run, make test: each sets up what it needs first. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help run test test-postgresql check bench nightly histories limits chaos chaos-postgresql torture screens screenshots lock clean
.PHONY: system-packages

PYTHON ?= python3
PORT ?= 8000
DATA ?= data
FOLDER ?= $(CURDIR)
export FOLDER DATA

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV_VERSION := 0.13.8
UV_COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/installed ## Start the server and classify FOLDER (default: this one); PORT=8000, DATA=data
	@exec $(BIN)/stepglass serve --port $(PORT) --data "$$DATA" --run codebase_classify --set "folder=$$FOLDER"

test: check system-packages ## Set up and run every test
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist worksteal # a hundred processes import the same

test-postgresql: .venv/installed-dev system-packages ## What a queue does and its pages show, on PostgreSQL, by the embedded runner and by the engine; TEST_DATABASE_URL=server
	@failed=0; export TEST_ON=postgresql; \
	TEST_RUNNER=embedded $(BIN)/python -m pytest -n 2 tests/queue tests/work tests/web tests/test_postgres.py tests/test_several_servers.py || failed=1; \
	TEST_RUNNER=engine $(BIN)/python -m pytest -n 2 tests/work tests/test_several_servers.py || failed=1; \
	exit $$failed

check: .venv/installed-dev ## Lint, formatting, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-dev system-packages ## Measure against floors and peers; takes minutes
	@failed=0; for file in tests/bench/test_*.py; do $(BIN)/python -m pytest $$file --no-header -s || failed=1; done; exit $$failed

nightly: test-postgresql histories chaos chaos-postgresql torture screens ## All that takes too long for `make test`; hours

histories: .venv/installed-dev ## Draw ten thousand random histories; HISTORIES=10000 SEED=1
	HISTORIES=$(or $(HISTORIES),10000) $(BIN)/python -m pytest tests/queue/test_histories.py tests/queue/test_ticket_histories.py tests/queue/test_eager_histories.py
	HISTORIES=$(or $(PAGES),400) $(BIN)/python -m pytest tests/web/test_same_everywhere.py tests/work/test_schedule.py

torture: .venv/installed-dev ## Everything at once on one SQLite database for five minutes; TORTURE=300
	TORTURE=$(or $(TORTURE),300) $(BIN)/python -m pytest tests/test_torture.py --no-header

chaos: .venv/installed-dev ## kill -9 at random instants, and see that nothing is lost; CHAOS=300
	CHAOS=$(or $(CHAOS),300) $(BIN)/python -m pytest -s tests/chaos/test_chaos.py tests/work/test_takeover.py

chaos-postgresql: .venv/installed-dev system-packages ## The same on PostgreSQL, with cut networks, wrong clocks, two versions; CHAOS_POSTGRESQL=100 CUT=30
	CHAOS_POSTGRESQL=$(or $(CHAOS_POSTGRESQL),100) CUT=$(or $(CUT),30) $(BIN)/python -m pytest -s tests/chaos/test_postgresql.py tests/chaos/test_cut_network.py tests/chaos/test_odd_members.py

screens: .venv/installed-dev system-packages ## Every page in every theme and width: accessibility and keyboard
	SCREENS=all $(BIN)/python -m pytest -n 2 e2e/test_any_screen.py e2e/test_by_keyboard.py

limits: .venv/installed-dev ## Print the model of how far it goes (docs/how-far-it-goes.md)
	@$(BIN)/python -m tests.bench.limits

screenshots: .venv/installed-dev system-packages ## Take the pictures of the documentation again
	$(BIN)/python -m tests.screenshots

lock: .venv-lock/installed ## Pin the dependencies again; UPGRADE=1 takes the newest versions
	$(UV_COMPILE) --group build -o constraints.txt pyproject.toml
	$(UV_COMPILE) --group dev -c constraints.txt -o constraints-dev.txt pyproject.toml

clean: ## Remove what these commands installed
	rm -rf .venv .venv-lock

system-packages: .venv/installed-dev
	@sh .ci/system-packages

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stepglass needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python constraints.txt pyproject.toml
	@echo "Installing Stepglass into .venv ..."
	$(INSTALL) --require-hashes -r constraints.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: .venv/installed constraints-dev.txt
	@echo "Installing the test tools into .venv ..."
	$(INSTALL) --require-hashes -r constraints-dev.txt
	@touch $@

.venv-lock/installed: Makefile
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@
