# Everything a person types. Each target does its own set-up.
#
# Every cargo command selects the whole workspace. A package alone (`-p`) has other features, so wasmer would be compiled again.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Outside the checkout, so that a fresh clone builds only what changed.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/capstan/target
# Without debug information everything is built sooner. CARGO_PROFILE_DEV_DEBUG=line-tables-only gives backtraces of tests their
# lines, and CARGO_PROFILE_RELEASE_DEBUG=line-tables-only those of the built programs.
export CARGO_PROFILE_DEV_DEBUG ?= 0
CARGO := cargo
# What is to be run is built with optimisations across crates. Tests have a profile of their own, which is built sooner.
BIN := $(CARGO_TARGET_DIR)/release
# Where `make conformance` reads scenario folders.
CONFORMANCE_DIR ?= $(CURDIR)/tests/conformance/scenarios

# How long `make fuzz` looks, for each target.
FUZZ_SECONDS ?= 60

# How long `make adversary` attacks; a seed alone is tried once.
ADVERSARY_SECONDS ?= $(if $(ADVERSARY_SEED),0,600)

.PHONY: help setup build demo dev test soak adversary fuzz conformance bench bench-peers fmt lint audit clean

help: ## Shows this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Installs what is missing: clang with the wasm target, npm packages
	@scripts/setup.sh

build: setup ## Builds the capstan binary
	$(CARGO) build --release --workspace --bin capstan

demo: build ## Runs the whole story on a fresh chain: bundle, vat, messages, statistics
	@scripts/demo.sh $(BIN)/capstan

dev: build ## Starts a development chain and keeps it running
	$(BIN)/capstan dev

test: setup ## Runs every test
	@scripts/test.sh

soak: setup ## Checks the counts of random vats after each of a million cranks (CAPSTAN_SOAK_CRANKS=, CAPSTAN_SOAK_SEED=)
	CAPSTAN_SOAK_CRANKS="$${CAPSTAN_SOAK_CRANKS:-1000000}" $(CARGO) test --workspace --test soak -- --nocapture

adversary: setup ## Attacks chains, and searches for what costs a node most (ADVERSARY_SECONDS=600 each, ADVERSARY_SEED=, ADVERSARY_BLOCKS=, ADVERSARY_DIR=, ADVERSARY_INPUT=)
	ADVERSARY_SECONDS="$(ADVERSARY_SECONDS)" $(CARGO) test --workspace --test adversary -- --nocapture --test-threads=1

fuzz: setup ## Fuzzes what reads bytes from strangers (FUZZ_SECONDS=60 each)
	@scripts/fuzz.sh $(FUZZ_SECONDS)

conformance: setup ## Runs SwingSet's recorded scenarios (CONFORMANCE_DIR=... for others)
	$(CARGO) build --release --workspace --bin capstan-conformance
	@$(BIN)/capstan-conformance "$(CONFORMANCE_DIR)"

bench: setup ## Measures, and prints tables
	@scripts/bench.sh

bench-peers: setup ## Plays the same games on SwingSet, which it installs, and prints ratios (PEER_ROUNDS=3)
	@scripts/bench-peers.sh

fmt: ## Formats the sources
	$(CARGO) fmt --all

lint: setup ## Checks the format, lints, documentation, licences and sources of packages
	@scripts/lint.sh

audit: ## Looks the packages up in RustSec's database of advisories, which it fetches
	@scripts/deny.sh advisories

clean: ## Removes what was built
	$(CARGO) clean
