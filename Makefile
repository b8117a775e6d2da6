# Every command that a person needs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export KUBECONFIG := $(CURDIR)/.cluster/kubeconfig
export ORT_DYLIB_PATH ?= $(CURDIR)/.cache/onnxruntime/libonnxruntime.so
# kubectl is taken from the machine; where there is none, from what `make cluster` builds.
export PATH := $(PATH):$(CURDIR)/.cluster/bin
export CARGO_TERM_COLOR ?= never

CRD := sentimentservices.kubesentiment.io.yaml

##@ See it

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## A real cluster, the operator, a service, and answers: all set up from nothing
	@scripts/demo.sh

.PHONY: run-server
run-server: onnxruntime ## The server alone in the foreground with the default model, port MLOPS_PORT
	@cargo build --release -p kubesentiment-inference-server --bin sentiment-server
	@MLOPS_PROFILE=$${MLOPS_PROFILE:-local} MLOPS_ONNX_MODEL_PATH=$${MLOPS_ONNX_MODEL_PATH:-models/default} \
	  exec $${CARGO_TARGET_DIR:-target}/release/sentiment-server

.PHONY: cluster
cluster: ## A real single-node Kubernetes, without Docker; writes .cluster/kubeconfig
	@e2e/cluster/up.sh

.PHONY: down
down: ## Stop all that the other commands started
	@e2e/cluster/down.sh

.PHONY: deploy
deploy: cluster images ## Put the images on the node and (re)install the operator
	@scripts/deploy.sh

##@ Build

.PHONY: images
images: build-distroless build-distroless-debug build-operator ## All three images

.PHONY: build-distroless
build-distroless: ## sentiment-service:distroless
	@scripts/build-image.sh server

.PHONY: build-distroless-debug
build-distroless-debug: ## sentiment-service:distroless-debug, with a shell
	@scripts/build-image.sh server-debug

.PHONY: build-operator
build-operator: ## kubesentiment-operator:distroless
	@scripts/build-image.sh operator

.PHONY: plugin
plugin: ## kubectl-sentiment, the kubectl plugin, as a release build
	@cargo build --release --locked -p kubectl-sentiment
	@echo "$${CARGO_TARGET_DIR:-target}/release/kubectl-sentiment: put it on your PATH, then: kubectl sentiment --help"

.PHONY: release
release: ## All that a release gives away, as VERSION, in dist/: images, chart, manifests, plugin, digests, signatures
	@scripts/release.sh "$(VERSION)"

.PHONY: onnxruntime
onnxruntime: ## Fetch the pinned ONNX Runtime to .cache/onnxruntime
	@scripts/fetch-onnxruntime.sh .cache/onnxruntime

.PHONY: crds
crds: ## Generate the CRD and docs/reference.md from operator/src/api
	@cargo run -q -p kubesentiment-operator -- crd >crds/$(CRD).new
	@mv crds/$(CRD).new crds/$(CRD)
	@cp crds/$(CRD) charts/kubesentiment-operator/files/$(CRD)
	@cargo run -q -p kubesentiment-operator -- reference >docs/reference.md.new
	@mv docs/reference.md.new docs/reference.md

.PHONY: proto
proto: ## Generate the code of gRPC from its .proto
	@UPDATE_PROTO=1 cargo test -q --locked --workspace --test server -- proto::

.PHONY: settings
settings: ## Generate docs/settings.md from the server's settings
	@UPDATE_SETTINGS=1 cargo test -q --locked --workspace --lib the_documented_table

.PHONY: docs
docs: ## API documentation of the crates in target/doc
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

.PHONY: site
site: ## The documentation as a site in target/site; REPOSITORY_URL gives it links to files outside of docs/
	@scripts/mdbook.sh build docs

##@ Check

# Each test is of the whole workspace, by its name, so that cargo builds what they share once.

.PHONY: test
test: ## Lint, unit, contract, API server and real node: what CI runs
	@scripts/timed.sh "lint" $(MAKE) lint
	@scripts/timed.sh "unit tests" $(MAKE) unit
	@scripts/timed.sh "server against programs of others" $(MAKE) contract WITHOUT="$(SLOW)"
	@scripts/timed.sh "operator against a real API server" $(MAKE) api-server
	@scripts/timed.sh "real node" $(MAKE) e2e

.PHONY: lint
lint: tools ## rustfmt, clippy, shellcheck, workflows, documentation, chart and manifests
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@cargo clippy --workspace --test '*' --locked -- -D warnings # those that don't run by themselves, too
	@scripts/lint.sh

.PHONY: policy
policy: ## cargo deny on what is linked; checkov, kube-score, the restricted Pod Security Standard and OLM's validators on what is installed
	@scripts/cargo-deny.sh --log-level warn check bans licenses sources
	@e2e/cluster/build-tools.sh kubernetes helm kube-score olm pod-security
	@scripts/policy/check.sh

.PHONY: audit
audit: ## Published faults in crates and Python packages, of databases on the network; AUDIT_MUST_REACH=1 fails without them
	@scripts/audit.sh

.PHONY: model
model: ## The default model out of DATA=folder, by RECIPE (three-labels), to OUT (models/default): hours; TEXTS=300 to try it
	@models/training/make.sh "$(DATA)" "$(or $(OUT),models/default)" $(RECIPE)

.PHONY: unit
unit: onnxruntime ## Pure functions, snapshots, and the server with its real model
	@command -v openssl >/dev/null && command -v redis-server >/dev/null || e2e/cluster/deps.sh openssl redis-server
	@cargo test --locked --workspace

.PHONY: fuzz
fuzz: ## Bodies, texts and settings against a fuzzer, each for FUZZ_SECONDS (default 20)
	@scripts/fuzz.sh $${FUZZ_SECONDS:-20}

.PHONY: contract
contract: onnxruntime ## The server against schemathesis, clients of version 1, Triton, KServe, the Hub and docs/clients.md, Python's ONNX Runtime, and prepare-model
	@for program in curl jq node; do command -v $$program >/dev/null || e2e/cluster/deps.sh $${program/node/nodejs}; done
	@scripts/python-packages.sh scripts/contract-requirements.txt .cache/contract
	@$(if $(findstring kserves_,$(WITHOUT)),true,scripts/python-packages.sh scripts/kserve-requirements.txt .cache/kserve)
	@cargo build --locked --workspace --example client
	@cargo test --locked --workspace --test contract --test clients --test documented -- $(foreach case,go_over_grpc $(WITHOUT),--skip $(case))
	@models/test.sh

.PHONY: browser
browser: onnxruntime ## The playground in Chromium; SCREENSHOTS=docs/images takes its pictures anew
	@e2e/cluster/deps.sh chromium chromium-driver fonts-liberation
	@scripts/python-packages.sh scripts/browser-requirements.txt .cache/browser
	@cargo test --locked --workspace --test browser

.PHONY: api-server
api-server: tools ## The operator against a real kube-apiserver
	@cargo test --locked --workspace --test api_server --test argocd --test commands

.PHONY: e2e
e2e: deploy ## The real node: images, operator, pods, failures
	@e2e/cluster/build-tools.sh helm lua metrics-server
	@scripts/test-images.sh
	@cargo test --locked --workspace --test node -- $(foreach case,$(OTHERS),--skip $(case))

.PHONY: monitoring
monitoring: deploy ## Alert rules and dashboards, by promtool and against what the node's pods tell
	@scripts/test-monitoring.sh

.PHONY: dashboard-pictures
dashboard-pictures: deploy ## The dashboards' pictures in docs/images anew, from services on the node, in MINUTES (15) of calls
	@scripts/dashboard-pictures/from-node.sh

# What takes minutes alone, or programs of others that take minutes to build, is `make test-all`'s: of the server against
# programs of others, and of the node. By hand, before an issue is closed or a release is made.
SLOW := schemathesis_ kserves_
OTHERS := flux_ a_network_policy_ a_bucket_ an_upgrade_ by_the_kubelet_

.PHONY: test-all
test-all: test ## All of `make test`, policies, fuzzing, the playground in a browser, the node with programs of others and with the last release; then a release
	@scripts/timed.sh "policies" $(MAKE) policy
	@scripts/timed.sh "server against all programs of others" $(MAKE) contract
	@scripts/timed.sh "monitoring" $(MAKE) monitoring
	@scripts/timed.sh "the node's own self-test" e2e/cluster/selftest.sh
	@scripts/timed.sh "fuzzing" $(MAKE) fuzz
	@scripts/timed.sh "playground in a browser" $(MAKE) browser
	@scripts/timed.sh "client in Go over gRPC" cargo test --locked --workspace --test clients -- go_over_grpc
	@e2e/cluster/build-tools.sh kube-router stores flux
	@scripts/timed.sh "the last release" scripts/last-release.sh
	@for case in $(OTHERS); do \
	  scripts/timed.sh "node, $$case" cargo test --locked --workspace --test node -- $$case || exit; \
	done
	@scripts/timed.sh "a release, made twice and installed" scripts/test-release.sh
	@scripts/timed.sh "demo" $(MAKE) demo

.PHONY: bench
bench: onnxruntime deploy ## Sizes, start times, throughput, memory, and the operator at scale
	@cargo bench --locked -p kubesentiment-inference-server
	@cargo bench --locked -p kubesentiment-e2e --bench figures
	@$(MAKE) bench-operator

.PHONY: bench-operator
bench-operator: ## The operator at SERVICES (default 200 and 2000) on fake nodes: requests, writes, memory
	@e2e/cluster/build-tools.sh etcd kubernetes kwok
	@cargo build --release --locked -p kubesentiment-operator
	@cargo bench --locked -p kubesentiment-e2e --bench scale -- $(SERVICES)

.PHONY: tools
tools:
	@e2e/cluster/deps.sh
	@e2e/cluster/build-tools.sh etcd kubernetes helm lua actionlint grafana
