# Everything that is done with this repository is a verb here. `make` alone lists them.

VENV ?= .venv
BIN := $(VENV)/bin
PROJECTS := $(wildcard packages/*/pyproject.toml services/*/pyproject.toml) services/api/package-lock.json
PYTHONS := 3.11 3.12 3.13
#: Test processes side by side; the fault tests start servers of their own, so more than two crowd a small machine.
JOBS ?= 2
# The slow tests stand at the end: who has nothing left to do takes from the others.
PARALLEL = -n $(JOBS) --dist worksteal
#: Passed on to pytest: make test ARGS="-k lease -x"
ARGS ?=

# Every process would compile all it imports, each time: twice the time to start, and a third more memory.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env demo up test test-all test-python check bench e2e e2e-browser chaos reference dashboards format lock assets clean secrets chart helm-test prometheus-test e2e-compose

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(VENV)/.dev ## build the environment (.venv) with all tools; the other verbs do it by themselves

demo: $(VENV)/.run ## see it work: embedded Valkey, a worker pool, real tasks, results as a table
	@$(BIN)/python examples/demo/run.py

up: $(VENV)/.run ## run the first program in this terminal: server and pool, one Ctrl-C stops both
	@cd examples/first_program && "$(abspath $(BIN))/alsek" up my_tasks

test: $(VENV)/.dev ## run all tests on real servers (JOBS=2, ARGS="-k lease")
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-all: ## run all tests on every supported Python that this machine has
	@set -e; for version in $(PYTHONS); do \
	    if scripts/find-python $$version >/dev/null; then \
	        echo "--- Python $$version"; \
	        $(MAKE) --no-print-directory test-python VERSION=$$version; \
	    else echo "--- Python $$version is not on this machine: skipped"; fi; \
	done

test-python: ## run the tests on one version (VERSION=3.12), in an environment of its own
	@$(MAKE) --no-print-directory test VENV=.venv-$(VERSION) PYTHON_VERSION=$(VERSION)

check: $(VENV)/.dev ## formatting, lint, types, import floors, dead code
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/vulture

bench: $(VENV)/.run ## measure Alsek beside its peers, in one run on this machine
	@$(BIN)/python benchmarks/run.py $(ARGS)

e2e: $(VENV)/.dev ## real processes, real servers, injected faults
	@$(BIN)/python -m pytest tests/e2e $(PARALLEL) $(ARGS)

e2e-browser: $(VENV)/.dev ## the dashboard in a real browser (Debian: apt install chromium); screenshots in .screenshots
	@$(BIN)/python -m pytest services/api/tests/browser -m heavy --timeout 600 $(ARGS)

helm-test: $(VENV)/.dev ## the Helm chart: lint, every toggle, every values file against the schemas of Kubernetes
	@$(BIN)/python -m pytest tests/helm $(PARALLEL) -m "heavy or not heavy" --timeout 600 $(ARGS)

prometheus-test: $(VENV)/.dev ## rules and dashboards against a real Prometheus and promtool (Debian: apt install prometheus)
	@$(BIN)/python -m pytest tests/prometheus -m "heavy or not heavy" --timeout 300 $(ARGS)

e2e-compose: $(VENV)/.dev ## build and start compose.yaml on a Docker engine, and kill its parts (Debian: apt install docker.io docker-compose debootstrap)
	@$(BIN)/python -m pytest tests/compose -m heavy -s $(ARGS)

chaos: $(VENV)/.dev ## the fault tests again, longer and with the slow ones (replay: ALSEK_CHAOS_SEED=n)
	@ALSEK_CHAOS_SCALE=$${ALSEK_CHAOS_SCALE:-10} $(BIN)/python -m pytest packages services tests $(PARALLEL) \
	    -m "slow or chaos" --timeout 3600 $(ARGS)

reference: $(VENV)/.dev ## write docs/reference anew from the code: commands, settings, metrics, HTTP
	@$(BIN)/python scripts/reference.py

dashboards: $(VENV)/.dev ## write the Grafana dashboards anew, and the chart's copies of them and of the rules
	@$(BIN)/python scripts/dashboards.py

format: $(VENV)/.dev ## format the code and apply the safe lint fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only .

lock: $(VENV)/.dev ## pin the dependencies anew (ARGS=--upgrade for newer releases)
	@scripts/lock $(BIN)/uv $(ARGS)

assets: $(VENV)/.dev ## fetch what the dashboard takes from npm, where `make env` could not
	@$(BIN)/python services/api/hatch_build.py

chart: $(VENV)/.dev ## make what the Helm chart derives from its values, the rules and the dashboards
	@$(BIN)/python scripts/chart

secrets: $(VENV)/.run ## make passwords, ACL users and the first API key for docker compose, in ./secrets, where there are none
	@$(BIN)/python scripts/make-secrets

clean: ## remove environments, caches and build results
	@rm -rf .venv .venv-3.* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment, two stamps: what runs Alsek, and with the tools on top. Fresh stamps mean no pip at all.
$(VENV)/.run: requirements/run.txt $(PROJECTS)
	@scripts/build-environment $(VENV) run $(PYTHON_VERSION)

$(VENV)/.dev: requirements/dev.txt $(PROJECTS)
	@scripts/build-environment $(VENV) dev $(PYTHON_VERSION)
