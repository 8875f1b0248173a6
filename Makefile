# What people do with this repository. Each target installs what it needs, or says what to install.
.PHONY: demo test generate check-schema benchmark crash-test torture simulate format lint interop fuzz

demo:
	@scripts/install-dependencies sqlite
	@scripts/demo

test:
	@scripts/install-dependencies sqlite protobuf
	@scripts/test

# Rebuilds everything that is made from schema/: Swift, C, documentation, and what the tests compare them with.
generate:
	@scripts/install-dependencies protobuf
	@scripts/generate
	@scripts/generate-oracle

# Refuses a schema that breaks what was released, or that renames or removes something of it.
check-schema:
	@scripts/install-dependencies protobuf
	@scripts/check-schema --strict

benchmark:
	@scripts/install-dependencies sqlite protobuf c-dqlite
	@scripts/benchmark

# KILLS=200 by default.
crash-test:
	@scripts/install-dependencies sqlite protobuf
	@scripts/crash-test --kills $(or $(KILLS),200)

# SEEDS=1000 by default, from a random one; SECONDS=120 plays as many as that allows; SEED=46 plays that one and says what happens.
simulate:
	@scripts/simulate $(if $(SEED),--seed $(SEED) --trace,$(if $(SEEDS),--seeds $(SEEDS)) \
	    $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEEDS)$(SECONDS),,--seeds 1000))

# MINUTES=2 by default; SEED, NODES and FAULTS (kill,stop,partition,…) say what else is wanted.
torture:
	@scripts/install-dependencies sqlite protobuf
	@scripts/torture --minutes $(or $(MINUTES),2) $(if $(SEED),--seed $(SEED)) $(if $(NODES),--nodes $(NODES)) \
	    $(if $(FAULTS),--faults $(FAULTS))

# A program of ours on Debian's go-dqlite, unmodified, against our node.
interop:
	@scripts/install-dependencies sqlite go-dqlite
	@scripts/interop

# SECONDS_PER_TARGET=60 by default.
fuzz:
	@scripts/fuzz $(or $(SECONDS_PER_TARGET),60)

format:
	@swift format --in-place --recursive --parallel $$(scripts/swift-sources)

lint:
	@swift format lint --strict --recursive --parallel $$(scripts/swift-sources)
