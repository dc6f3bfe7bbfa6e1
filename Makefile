# Everything that a developer or CI does. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

DEV := python3 -m dev
UV = $$($(DEV) uv)
RUN = $(UV) run --frozen --no-sync
export UV_PYTHON_DOWNLOADS := never

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Running it

.PHONY: demo
demo: ## An agent from nothing to a promoted revision; CONTEXT=name REGISTRY=host/path: on your cluster
ifdef CONTEXT
ifndef REGISTRY
	$(error CONTEXT needs REGISTRY=host/path too: where the images are pushed to and pulled from)
endif
	@$(DEV) images --push $(REGISTRY)
	@$(DEV) demo --context $(CONTEXT) --registry $(REGISTRY)
else
ifdef REGISTRY
	$(error REGISTRY needs CONTEXT=name too: the context of your kubeconfig that may be changed)
endif
	@$(DEV) up --images
	@$(DEV) demo
endif

.PHONY: cluster
cluster: ## Bring the cluster up with the project's images
	@$(DEV) up --images

.PHONY: kwok
kwok: ## Add fake nodes for scale tests: NODES=100
	@$(DEV) up
	@$(DEV) kwok $(or $(NODES),10)

.PHONY: down
down: ## End every process, mount and network namespace of the cluster
	@$(DEV) down

.PHONY: purge
purge: ## Like down, and drop the cluster's images and credentials
	@$(DEV) down --purge

.PHONY: status
status: ## What runs
	@$(DEV) status

.PHONY: kubeconfig
kubeconfig: ## Print the path of the cluster's kubeconfig
	@$(DEV) kubeconfig

.PHONY: url
url: ## Print the URL of the demo's agent
	@$(DEV) url

## Working on it

.PHONY: venv
venv: ## The Python environment with everything in it
	@$(UV) sync --frozen --all-extras --all-groups

.PHONY: generate
generate: venv ## Write the CRD, the chart's copy and RBAC rules, and the reference page
	@PYTHONPATH=operator:. $(RUN) python -m chatagent_operator.generate

.PHONY: format
format: venv ## Format the code
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

.PHONY: lint
lint: venv ## Format, lint, types, import layers, generated files, words
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) pyright
	PYTHONPATH=operator:. $(RUN) lint-imports
	PYTHONPATH=operator:. $(RUN) python -m chatagent_operator.generate --check
	$(DEV).words

.PHONY: test-unit
test-unit: venv ## Tests of the pure parts
	$(RUN) pytest tests/unit

.PHONY: test-contract
test-contract: venv cluster ## Tests against real Chroma, HAProxy and the real model
	$(RUN) pytest tests/contract

.PHONY: test-combinations
test-combinations: venv ## One conversation over every store, embedding model and generator
	$(RUN) pytest tests/contract/runtime/combinations

.PHONY: test-cluster
test-cluster: venv cluster ## Tests against the real API server and the real node
	$(RUN) pytest tests/cluster tests/e2e

.PHONY: test
test: lint cluster ## All of it
	$(RUN) pytest tests

.PHONY: test-campaign
test-campaign: venv cluster ## Further cases of what `make test` shows: an operator that is killed in every step
	$(RUN) pytest tests -m campaign

.PHONY: bench-operator
bench-operator: venv ## The operator with many agents: N="100 1000" SOURCE=checkout PEER=argo-rollouts=path ROUNDS=1 NAME=of-results
	@$(RUN) python -m bench.operator_scale --agents $(or $(N),100 1000) --rounds $(or $(ROUNDS),1) \
	  $(addprefix --source ,$(SOURCE)) $(addprefix --peer ,$(PEER)) $(addprefix --name ,$(NAME))

.PHONY: bench
bench: venv ## Benchmarks; results go to bench/results
	@for bench in overhead runtime ingestion_lag stores t5 quality pins gateway; do \
	  echo "== $$bench"; $(RUN) python -m bench.$$bench || exit 1; done
