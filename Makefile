# What a developer does here, by name: `make help` lists it, `.ci/run` calls it.

CARGO ?= cargo
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
TOOLS := $(TARGET_DIR)/tools
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

# Arguments of `taskctl`, for example: make run ARGS="standalone --listen 127.0.0.1:8080"
ARGS ?= standalone

.DEFAULT_GOAL := help
.PHONY: help run test lint fmt deny advisories deps

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET\n" } \
		/^[a-z-]+:.*## / { printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: deps ## Run the whole platform in one process, on http://127.0.0.1:5000
	$(CARGO) run --release -p taskctl -- $(ARGS)

test: deps ## Run all tests, also those that run and kill the real binary
	$(CARGO) build --workspace
	$(CARGO) test --workspace

lint: deps ## Check formatting and lints; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

deny: $(CARGO_DENY) ## Check licences, banned crates and sources of the dependencies
	$(CARGO_DENY) check --hide-inclusion-graph licenses bans sources

advisories: $(CARGO_DENY) ## Check the dependencies for known vulnerabilities (needs the network)
	$(CARGO_DENY) check advisories

deps: ## Install what the build needs where it is missing
	@scripts/install-build-deps.sh

# Built unoptimised: it runs for a second. Without CARGO_TARGET_DIR, cargo builds it in a temporary
# folder, so nothing but the tool stays.
$(CARGO_DENY):
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-deny \
		--version $(CARGO_DENY_VERSION) --locked --debug --no-default-features \
		--root $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)
