# Needs Python 3.11 and make. Everything is installed into .venv, all state lies below HANDOVER_HOME.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
REQUIREMENTS := requirements-uv.txt requirements.txt requirements-dev.txt
# Size and seed of the sample company, when not the program's own.
DEMO_OPTIONS := $(if $(SCALE),--scale $(SCALE)) $(if $(SEED),--seed $(SEED))
BENCH_OPTIONS := $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-deregistration demo-vie demo-live test check campaign mutation bench up down clean install system-deps requirements

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: install ## Move the sample company through Airflow and check the evidence (SCALE=rows SEED=number)
	@$(BIN)/handover demo $(DEMO_OPTIONS)

demo-deregistration: install ## Wind the sample company up: archive, erase, prove, certify (SCALE=rows SEED=number)
	@$(BIN)/handover demo --end $(DEMO_OPTIONS)

demo-vie: install ## End the sample VIE: three entities, three certificates, one refused closing (SCALE=rows SEED=number)
	@$(BIN)/handover demo --vie $(DEMO_OPTIONS)

demo-live: install ## A day of the living company: request, sweep, backup, drill, audit (SCALE=rows SEED=number)
	@$(BIN)/handover demo --live $(DEMO_OPTIONS)

test: install system-deps check ## Run everything but the campaigns; under 20 minutes on two cores
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not campaign" --ignore=tests/unit --ignore=tests/property

check: install ## Check format, lint, types, unit and property tests; under 2 minutes
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -q -n 2 -m "not campaign" tests/unit tests/property

campaign: install ## Run the long random, fault, scale and version tests (fetches older PostgreSQL servers)
	@scripts/postgres-versions
	$(BIN)/pytest -m campaign

mutation: install ## Put one fault after the other into copies and print, fault by fault, what verification says
	@$(BIN)/pytest -q tests/mutation --list-faults

bench: install ## Measure the engine beside its peers (ROWS=… ROUNDS=…)
	@$(BIN)/python -m bench $(BENCH_OPTIONS)

up: install ## Start the clusters and Airflow, and say where they are
	@$(BIN)/handover up

down: install ## Stop them; data stays
	@$(BIN)/handover down

clean: install ## Stop them and delete the state folder and caches
	@$(BIN)/handover clean
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis

install: $(INSTALLED) ## Create .venv from the pinned, hash-checked requirements

$(INSTALLED): $(REQUIREMENTS) pyproject.toml scripts/install.py
	@$(PYTHON) scripts/install.py
	@touch $@

system-deps: ## Install the Debian packages that tests need (as root), if any is missing
	@scripts/system-deps

requirements: ## Compile the requirements files from their .in files
	$(PYTHON) scripts/install.py compile
