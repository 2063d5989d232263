# Every target sets up what it needs; `make demo` and `make test` are all that a newcomer types.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUNS   := $(VENV)/.runs
STAMP  := $(VENV)/.installed
SOURCES := console processor schemas models tests benchmarks deploy

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench chaos audit sbom fuzz lock clean

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

install: $(STAMP) ## .venv with the package, its command .venv/bin/telltale, and the development tools

# What runs: no development tool is needed for the demo.
$(RUNS): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	PIP_BUILD_CONSTRAINT=requirements-dev.lock \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@echo "compiling the kernels (once; numba keeps them)"
	$(BIN)/python -c 'from processor.runtime.warmup import warm_up; warm_up()'
	@touch $@

$(STAMP): $(RUNS) requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(RUNS) ## the main job on an embedded broker, with simulated profiles
	$(BIN)/telltale demo

test: $(STAMP) ## the whole test suite, a real Kafka broker included
	$(BIN)/pytest

check: $(STAMP) ## format, lint, types, import directions
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## put the sources into their format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: $(STAMP) build/peers-venv/.installed ## the benchmarks, each beside its peer; QUICK=1 for a short look
	@$(BIN)/pip install --quiet --disable-pip-version-check "isotree==0.6.1.post10" "pandas>=2" \
	  || echo "isotree, a peer, could not be built: its rows say so"
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

# Quix Streams asks for older versions of the Kafka client and of pydantic than ours.
build/peers-venv/.installed: $(STAMP)
	@$(PYTHON) -m venv --clear build/peers-venv
	@build/peers-venv/bin/pip install --quiet --disable-pip-version-check "quixstreams==3.28.1" fastavro "river==0.22.0" \
	  $$($(BIN)/pip freeze | grep -iE '^(scikit-learn|joblib|numpy)==') \
	  && touch $@ || echo "Quix Streams, a peer, could not be installed: its rows are left out"

chaos: $(STAMP) ## rounds of faults on a real Kafka: ROUNDS=10 SEED=1 BROKERS=1 JSON=FILE
	$(BIN)/python -m tests.chaos.run --rounds $(or $(ROUNDS),10) --seed $(or $(SEED),1) \
	  --brokers $(or $(BROKERS),1) $(if $(JSON),--json $(JSON))

audit: $(STAMP) ## known vulnerabilities of what is pinned, and of the lowest versions let in (asks PyPI)
	@# Strict: what could not be asked about fails the audit, it does not pass it.
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  -r requirements.lock
	@mkdir -p build
	$(BIN)/python deploy/lowest.py > build/lowest.txt
	$(BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r build/lowest.txt

sbom: $(STAMP) ## what requirements.lock pins as CycloneDX: build/sbom.json
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	  --sv 1.6 --of JSON --validate -o build/sbom.json requirements.lock

fuzz: $(STAMP) ## payloads of every sort through decode, extract and score: N=20000 SEED=1
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.run \
	  --payloads $(or $(N),20000) --seed $(or $(SEED),1)

lock: ## renew the lock files from the ranges of pyproject.toml (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --quiet --upgrade -o requirements.lock
	uv pip compile pyproject.toml --group dev --extra console --extra governance --extra mlflow \
	  --extra ingest --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --quiet -c requirements.lock -o requirements-dev.lock
	uv pip compile pyproject.toml --extra console --extra mlflow --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet -c requirements-dev.lock \
	  -o requirements-console.lock

clean: ## remove what was built and the demo's files
	rm -rf $(VENV) build dist var .mypy_cache .ruff_cache .pytest_cache .hypothesis
