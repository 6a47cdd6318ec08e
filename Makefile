# The two commands of this project: `make run` (the main job) and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= reports/$(shell date +%Y%m%d-%H%M%S)
WORKERS ?= 2
TORCH ?= torch==2.13.0
TRANSFORMERS ?= "transformers>=5.0" "accelerate>=1.0"
# One test process per core: threads inside each would only fight over them.
SINGLE_THREADED := OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1

.PHONY: run test test-newest wheels test-hf fuzz check lint types fetch figures golden test-lowest benchmark docs docs-numbers clean

run: fetch
	$(BIN)/anda report --model smollm2-135m --out $(OUT)

test: fetch
	$(SINGLE_THREADED) $(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not hf" tests

# The same tests, without the slow ones and those that run the model, with the newest Python of this machine. `test-lowest` takes the
# oldest. Where one interpreter is both, and `make test` has it, there is nothing to add.
INTERPRETERS = $(shell $(PYTHON) scripts/interpreters.py)
test-newest: VERSION = $(lastword $(INTERPRETERS))
test-newest: $(STAMP)
	set -e; if [ "$$($(VERSION) -V)" = "$$($(BIN)/python -V)" ]; then echo "$(VERSION) is that of make test"; else \
	$(VERSION) -m venv $(VENV)-newest; \
	$(VENV)-newest/bin/python -m pip install --quiet --upgrade pip; \
	$(VENV)-newest/bin/python -m pip install --quiet --editable ".[dev]"; \
	$(SINGLE_THREADED) $(VENV)-newest/bin/pytest -n $(WORKERS) --dist worksteal -m "not slow and not hf and not model" tests; fi

# Which dependencies have wheels for which Python, on Linux and macOS.
wheels: $(STAMP)
	$(BIN)/python scripts/wheels.py

# The tests that compare with torch and transformers. They are large, so they are installed for these tests alone.
test-hf: $(VENV)/.installed-hf
	$(SINGLE_THREADED) $(BIN)/pytest -m hf tests

$(VENV)/.installed-hf: $(STAMP) Makefile
	$(BIN)/python -m pip install --quiet $(TORCH) $(TRANSFORMERS) "lm-eval>=0.4.8"
	touch $@

# New mutated inputs of every reader for an hour; the seed that it prints repeats them.
SECONDS ?= 3600
SEED ?= $(shell date +%s)
fuzz: $(STAMP)
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS) --seed $(SEED)

check: lint types test

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/pyright

fetch: $(STAMP)
	$(BIN)/anda fetch

# The figures that the README shows, from a fresh run of the main job.
figures: fetch
	rm -rf build/figures
	$(BIN)/anda report --model smollm2-135m --out build/figures
	mkdir -p docs/figures
	cp build/figures/figures/*.png docs/figures

# Compares the figures of a fixed set of commands, the main job among them, with tests/golden/figures.json.
golden: fetch
	rm -rf build/golden
	$(BIN)/anda report --model smollm2-135m --out build/golden
	$(BIN)/python tests/golden/figures.py check --report build/golden

# Measures, and writes the tables of docs/performance.md and docs/simulator.md. On a machine that does nothing else.
MEASURE := $(BIN)/pytest --benchmark-only --override-ini addopts="--import-mode=importlib"
benchmark: $(STAMP)
	mkdir -p build
	$(MEASURE) tests/benchmarks/test_formats_speed.py tests/benchmarks/test_rtl_speed.py tests/benchmarks/test_jobs_speed.py --benchmark-json build/performance.json
	$(BIN)/python tests/benchmarks/table.py build/performance.json docs/performance.md
	$(MEASURE) tests/benchmarks/test_sim_speed.py --benchmark-json build/simulator.json
	$(BIN)/python tests/benchmarks/table.py build/simulator.json docs/simulator.md
	$(MEASURE) tests/benchmarks/test_sweep_speed.py --benchmark-json build/sweeps.json
	$(BIN)/python tests/benchmarks/table.py build/sweeps.json docs/sweeps.md
	$(MEASURE) tests/benchmarks/test_workloads_speed.py

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

# The documentation site, in build/site. Griffe reads the source of one package, so the rooms are linked together for it.
docs: $(VENV)/.installed-docs
	mkdir -p build/package/anda_codesign
	ln -sfn $(CURDIR)/anda_codesign/__init__.py build/package/anda_codesign/__init__.py
	for room in formats workloads rtl sim experiments; do ln -sfn $(CURDIR)/$$room build/package/anda_codesign/$$room; done
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.installed-docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@

# Runs the commands whose output the pages show, and writes the output and the tables anew.
docs-numbers: fetch
	$(BIN)/python scripts/docs_numbers.py
	$(BIN)/python scripts/beginning_figures.py

# The lower bounds of pyproject.toml, installed exactly and tested with the oldest Python of this machine.
test-lowest: .venv-lowest/.installed
	.venv-lowest/bin/anda fetch
	$(SINGLE_THREADED) .venv-lowest/bin/pytest -n $(WORKERS) --dist worksteal -m "not slow and not hf and not model" tests

.venv-lowest/.installed: pyproject.toml scripts/lowest_versions.py
	$(firstword $(INTERPRETERS)) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --upgrade pip
	.venv-lowest/bin/python scripts/lowest_versions.py pyproject.toml > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet --editable ".[dev]" --constraint .venv-lowest/constraints.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-* build *.egg-info
