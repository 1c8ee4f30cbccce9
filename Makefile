# Thin: each target is one job for people and for CI. `make help` lists them.

# One environment for every target, so that the C and C++ parts (RocksDB, librdkafka) are compiled once:
# a build folder outside the checkout, and a compiler cache that serves every profile.
CACHE = $(or $(DBINTEL_CACHE),$(HOME)/.cache/dbintel)
export CARGO_TARGET_DIR ?= $(CACHE)/target
export CCACHE_DIR ?= $(CACHE)/ccache
export CC = ccache clang
export CXX = ccache clang++

# `cargo deny` and `cargo fuzz`, each built once per version.
CARGO_DENY_VERSION = 0.20.2
CARGO_DENY = $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CARGO_FUZZ_VERSION = 0.13.2
CARGO_FUZZ = $(CACHE)/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz

# Seconds that `make fuzz` runs for each of its three targets.
FUZZ_SECONDS ?= 100

# Schedules that `make simulate` plays, and the first of them.
SEEDS ?= 100000
SEED ?= 0

# Seconds that `make chaos` goes on for at least, and a seed for the order of its faults.
CHAOS_SECONDS ?= 180
CHAOS_SEED ?=

# Arguments for `make run`, such as ARGS="--quiet", and for `make test`, such as TESTS=compose.
ARGS ?=
TESTS ?=

.DEFAULT_GOAL = help
.PHONY: help run test build lint format-check clippy deny compose-check simulate chaos mutations bench fuzz fmt advisories packages servers

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: packages ## Install what is missing, build, watch a throw-away PostgreSQL with a workload
	@tests/servers/install.sh postgres-18
	cargo build --locked --workspace --bins
	@"$(CARGO_TARGET_DIR)/debug/dbintel" up --demo --postgres-bin "$(CACHE)/servers/postgres-18/bin" $(ARGS)

test: packages servers lint build simulate fuzz ## Install the real servers, check everything, run every test
	cargo test --locked --workspace --no-fail-fast -- $(TESTS)

lint: packages format-check deny compose-check clippy ## Check format, licences, container files and clippy's rules

simulate: packages ## Play schedules of faults with the real engine on a model of Kafka (SEEDS=1000000 for many, SEEDS=1 SEED=17 for one)
	SEEDS=$(SEEDS) SEED=$(SEED) cargo test --locked --profile simulation -p dbintel-processors --no-default-features --lib -- \
	  simulation --nocapture

chaos: build ## Let every kind of fault happen to processes on a genuine Kafka, and check the books (CHAOS_SECONDS=3600 for an hour)
	@tests/servers/install.sh kafka
	CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_SEED=$(CHAOS_SEED) cargo test --locked --workspace --test all -- \
	  faults::chaos faults::fleet

mutations: packages ## Take one guarantee after the other away; a test has to notice each time
	tests/mutations/mutations.py

bench: packages ## Measure codec, embedded log, statement text and the engine on Kafka on this machine
	@tests/servers/install.sh kafka
	@bash -c '. tests/servers/tools.sh && need javac default-jdk-headless'
	cargo bench --locked -p dbintel-tests --bench kafka
	@tests/servers/install.sh postgres
	cargo bench --locked -p dbintel-tests --bench cost
	cargo bench --locked -p dbintel-tests --bench fleet
	cargo run --locked --release -p dbintel-schemas --example codec_speed
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	  cargo run --locked --release -p dbintel-bus --example embedded_speed -- 4000000 5000 "$$scratch/log"
	cargo run --locked --release --manifest-path sqltext/bench/Cargo.toml

# On stable Rust, which has no sanitizers. New inputs that it finds stay in the cache, for the next run to begin with.
fuzz: packages $(CARGO_FUZZ) ## Feed the decoder of records and the lexers of statements with hostile bytes, 5 minutes in all
	$(call run_fuzz,schemas,decode,testdata/v1)
	$(call run_fuzz,sqltext,postgresql,testdata/postgres-regress,-dict=fuzz/sql.dict -max_len=400)
	$(call run_fuzz,sqltext,mysql,testdata/fingerprints,-dict=fuzz/sql.dict -max_len=400)

# Of a crate: a target, with inputs to begin with and options.
define run_fuzz
	@mkdir -p "$(CACHE)/fuzz/$(2)"
	cargo fetch --quiet --locked --manifest-path $(1)/fuzz/Cargo.toml
	cd $(1) && "$(CARGO_FUZZ)" run $(2) --sanitizer none "$(CACHE)/fuzz/$(2)" $(3) -- \
	  $(4) -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1
endef

fmt: ## Format all Rust code
	cargo fmt --all

advisories: packages $(CARGO_DENY) ## Look for known vulnerabilities in dependencies; needs a network
	$(CARGO_DENY) --locked --workspace check --hide-inclusion-graph advisories

build: packages
	cargo build --locked --workspace --bins

packages:
	@tests/servers/system-packages.sh

servers: packages
	@tests/servers/install.sh

format-check:
	cargo fmt --all --check

clippy: packages
	cargo clippy --locked --workspace --all-targets -- -D warnings

deny: packages $(CARGO_DENY)
	$(CARGO_DENY) --locked --workspace check --hide-inclusion-graph licenses bans sources

compose-check: packages
	@tests/compose/check.sh

# With little optimization: that would take longer than it could ever save.
$(CARGO_DENY): TOOL = cargo-deny@=$(CARGO_DENY_VERSION)
$(CARGO_FUZZ): TOOL = cargo-fuzz@=$(CARGO_FUZZ_VERSION)
$(CARGO_DENY) $(CARGO_FUZZ): | packages
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1 \
	  cargo install --quiet --locked --debug --root "$(dir $(@D))" $(TOOL)
