# Two commands do all set-up on a fresh Debian machine: `make demo` (the main job) and `make test` (the tests).
# Everything that is built is kept under $(RINGFENCE_CACHE), outside the work tree.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export RINGFENCE_CACHE ?= $(HOME)/.cache/ringfence
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest
CODE := operator e2e bench tests

.PHONY: help
help: ## Show what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## --- set-up ---------------------------------------------------------------------------------------------------------

.PHONY: init
init: $(VENV)/.ready ## Python environment with the pinned packages, and `ringfence` in .venv/bin

$(VENV)/.ready: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "installing python3-venv"; apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@# The lock is complete: resolving it again would only trip over extras, which a lock cannot name for every version of pip.
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	$(PY) -m pip check --quiet --disable-pip-version-check || $(PY) -m pip check
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: lock
lock: ## Resolve the pinned packages anew (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra dev pyproject.toml -o requirements-dev.txt

## --- checks ---------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: init ## Style, imports between layers, shell of the Makefile's scripts
	$(PY) -m ruff check $(CODE)
	$(PY) -m ruff format --check $(CODE)
	$(VENV)/bin/lint-imports

.PHONY: typecheck
typecheck: init ## mypy, strict
	$(PY) -m mypy

.PHONY: generate
generate: init ## Write crds/, the chart's CRDs and docs/api.md from the schema
	$(PY) -m ringfence.api.generate

.PHONY: generate-check
generate-check: init ## Fail when what is generated is stale
	$(PY) -m ringfence.api.generate --check

.PHONY: golden
golden: init ## Write the golden files anew (read the diff!)
	$(PYTEST) tests/unit tests/property --update-golden -q

.PHONY: tools
tools: init ## Build the programs that tests drive; they are kept
	$(PY) -m e2e.tools
	$(PY) -m tests.component.programs

.PHONY: unit
unit: tools ## Unit, golden and property tests
	$(PYTEST) tests/unit tests/property -q -n 2

.PHONY: unit-image
unit-image: init ## The unit tests of the package on the image's Python (3.13)
	$(PY) -m e2e.images test

.PHONY: component
component: tools ## Tests against a real etcd and kube-apiserver
	$(PYTEST) tests/component -q -n 2 --dist loadfile

.PHONY: netpol
netpol: cluster ## A fixed spread of cyclonus' cases against the NetworkPolicies in force on the node
	$(PY) -m e2e.netpol --spread --cluster ringfence

.PHONY: e2e
e2e: cluster images ## Scenarios on the real node
	$(PYTEST) e2e -m "node and not soak" -q

.PHONY: test
test: ## All tests: the one command, on a bare machine too
	@$(MAKE) init
	@# mypy takes one processor, and as long as the others together.
	@$(MAKE) --jobs=2 --output-sync=target lint typecheck generate-check
	@$(MAKE) unit unit-image component
	@$(MAKE) images-check netpol e2e

.PHONY: soak
soak: cluster images ## Long runs: every cyclonus case, Kubernetes' whole Pod Security runner, random worlds, a full rotation, sustained admission, proxies under load
	$(PY) -m e2e.netpol --all --cluster ringfence
	$(PYTEST) tests/component -m soak -q
	RINGFENCE_SUSTAINED_SECONDS=600 $(PYTEST) tests/component/test_webhook_sustained.py -q
	RINGFENCE_BENCH_REVIEWS=1000000 $(PY) -m bench webhook
	RINGFENCE_EXAMPLES=5000 $(PYTEST) tests/property tests/unit/e2e_enforcer/test_meaning_against_judge.py -q
	$(PYTEST) e2e -m soak -q
	RINGFENCE_PAIRS=20000 $(PYTEST) tests/component/test_proxy_means_decide.py -q
	RINGFENCE_REQUESTS=20000 $(PYTEST) tests/component/test_requests_mean_decide.py -q
	RINGFENCE_TOKENS=20000 $(PYTEST) tests/component/test_tokens_mean_decide.py -q
	RINGFENCE_SOAK=1 $(PYTEST) e2e/scenarios/test_proxy_under_load.py -q -s

.PHONY: bench
bench: init ## Figures against their goals, with ratios measured in the same run
	$(PY) -m bench

## --- running --------------------------------------------------------------------------------------------------------

.PHONY: cluster
cluster: init ## A Kubernetes cluster: kind where Docker answers, else a real node on this machine
	$(PY) -m e2e.cluster up

.PHONY: cluster-down
cluster-down: init ## Take the cluster down; nothing is left
	$(PY) -m e2e.cluster down

.PHONY: images
images: cluster ## Build the images and push them to the cluster's registry
	$(PY) -m e2e.images push

.PHONY: images-check
images-check: init ## The image built here holds the same files as the one that Docker builds
	$(PY) -m e2e.images check

.PHONY: demo
demo: init ## The main job: cluster, images, Helm install, an example shop and real attempts against all that is promised
	$(PY) -m e2e.demo

.PHONY: demo-down
demo-down: init ## Take the demo and its cluster down; nothing is left
	$(PY) -m e2e.demo down
