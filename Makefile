# Everything sets itself up: a fresh machine needs Python >= 3.11, git and make.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
CORPUS := .corpus

PAIRS := pairs

.PHONY: help demo test check format corpus test-architectures test-converters test-inference test-decoding mapbench bench test-faults test-crash test-resume test-ranks test-differential fuzz test-lint compare-scanners changelog clean
help:  ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/'

$(VENV)/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "weightlift needs Python 3.11 or newer (set PYTHON=...)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

demo:  ## Real checkpoints: inspect, extract, and load into a torch model
	@test -n "$(PYTHON)" || { echo "weightlift needs Python 3.11 or newer (set PYTHON=...)" >&2; exit 2; }
	@test -e .venv-demo/.ready || { $(PYTHON) -m venv .venv-demo && .venv-demo/bin/python -m pip install --quiet \
		--disable-pip-version-check -e . torch==2.13.0 && touch .venv-demo/.ready; }
	.venv-demo/bin/python tools/fetch_checkpoints.py demo/files facenet silero lpips
	.venv-demo/bin/python demo/run.py

test: $(VENV)/.ready  ## The tests, on small real checkpoints too
	$(BIN)/python tools/fetch_checkpoints.py $(CORPUS) --small
	$(BIN)/python -m pytest

check: $(VENV)/.ready  ## Format, lint, types, layers, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

format: $(VENV)/.ready  ## Put the code into shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

corpus: $(VENV)/.ready  ## Every real checkpoint of tools/checkpoints.toml
	$(BIN)/python tools/fetch_checkpoints.py $(CORPUS)
	$(BIN)/python -m pytest tests/test_corpus.py

bench: $(VENV)/.ready  ## The benchmarks of docs/performance.md, in a plain install of their own
	@test -e .venv-bench/.ready || { $(PYTHON) -m venv .venv-bench && .venv-bench/bin/python -m pip install --quiet \
		--disable-pip-version-check . && touch .venv-bench/.ready; }
	$(BIN)/python benchmarks/bench_inspect.py --python .venv-bench/bin/python --torch-python $(BIN)/python
	$(BIN)/python benchmarks/bench_extract.py --python .venv-bench/bin/python --torch-python $(BIN)/python
	$(BIN)/python benchmarks/bench_peers.py --torch-python $(BIN)/python
	$(BIN)/python benchmarks/bench_plans.py --python .venv-bench/bin/python --torch-python $(BIN)/python
	@test -e .venv-linters/.ready || { $(PYTHON) -m venv .venv-linters && .venv-linters/bin/python -m pip install --quiet \
		--disable-pip-version-check ruff bandit && .venv-linters/bin/python -m pip install --quiet \
		--disable-pip-version-check --no-deps --target .venv-linters/tree transformers && touch .venv-linters/.ready; }
	$(BIN)/python benchmarks/bench_lint.py .venv-linters/tree --python .venv-bench/bin/python \
		--linters-python .venv-linters/bin/python
	@test -e .venv-orbax/.ready || { $(PYTHON) -m venv .venv-orbax && .venv-orbax/bin/python -m pip install --quiet \
		--disable-pip-version-check orbax-checkpoint && touch .venv-orbax/.ready; }
	$(BIN)/python benchmarks/bench_training.py --torch-python $(BIN)/python --orbax-python .venv-orbax/bin/python

changelog: $(VENV)/.ready  ## Gather the fragments of changelog.d/ into CHANGELOG.md
	$(BIN)/towncrier build --yes

test-architectures:  ## Whole modules of real libraries against their own state_dict() (downloads several GB)
	$(PYTHON) tests/architectures/run.py --venv .venv-architectures --record

test-converters:  ## The plans of plans/ against the libraries' own converters (downloads several GB)
	$(PYTHON) tests/converters/run.py --venv .venv-architectures

test-crash: $(VENV)/.ready  ## Crashes of saves, ours and others', replayed at every call: docs/reliability.md (Linux, strace)
	@test -e .venv-orbax/.ready || { $(PYTHON) -m venv .venv-orbax && .venv-orbax/bin/python -m pip install --quiet \
		--disable-pip-version-check -e . orbax-checkpoint jax && touch .venv-orbax/.ready; } || \
		echo "Orbax is not to be had: its row is left out" >&2
	-PYTHONPATH=tests .venv-orbax/bin/python -m crash.run orbax --table .crash
	PYTHONPATH=tests $(BIN)/python -m crash.run --table .crash

clean:  ## Remove everything that can be made again
	rm -rf .venv .venv-bench .venv-demo .venv-architectures .venv-orbax .venv-linters .venv-scanners .crash.json .crash.md .scanners.json .fuzz .corpus demo/files build dist .mypy_cache .ruff_cache .hypothesis

test-inference: $(VENV)/.ready  ## 10,000 random changes of known structures: no sure line may be wrong
	WEIGHTLIFT_CASES=10000 $(BIN)/python -m pytest tests/mapping/test_infer.py

test-decoding: $(VENV)/.ready  ## 1,000,000 documents changed at random: a value or one of our errors
	WEIGHTLIFT_CASES=1000000 $(BIN)/python -m pytest tests/codec/test_malformed.py

mapbench: $(VENV)/.ready  ## Plans for recorded conversions (PAIRS=folder, and beside it folder_sorted) as their score.py reads them
	for pairs in $(PAIRS) $(PAIRS)_sorted; do \
		$(BIN)/python benchmarks/mapbench.py $$pairs --out .mapbench/$$(basename $$pairs) && \
		$(BIN)/python $(dir $(abspath $(PAIRS)))score.py $$pairs .mapbench/$$(basename $$pairs) || exit 1; done

test-resume: $(VENV)/.ready  ## 400 kinds of training runs, interrupted and gone on with: equal to the last bit
	WEIGHTLIFT_COMBINATIONS=400 $(BIN)/python -m pytest tests/training/test_resume_equality.py

test-faults: $(VENV)/.ready  ## Every fault at every system call of a save, and 10,000 kinds of damage to a checkpoint
	WEIGHTLIFT_FAULTS=all WEIGHTLIFT_CASES=10000 $(BIN)/python -m pytest tests/writers/test_faults.py tests/writers/test_corruption.py

test-ranks: $(VENV)/.ready  ## Many ranks: every number of them saved and resumed, every rank killed at every phase (4 minutes)
	WEIGHTLIFT_RANKS=full $(BIN)/python -m pytest tests/ranks

FUZZ_SECONDS ?= 3600
FUZZ_JOBS ?= 1
fuzz: $(VENV)/.ready  ## Changed files of every kind for an hour (FUZZ_SECONDS, FUZZ_JOBS); counts go on in .fuzz/totals.json
	-@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check atheris || \
		echo "atheris is not to be had: guided by which errors are raised where" >&2
	PYTHONPATH=tests $(BIN)/python -m fuzz.run --seconds $(FUZZ_SECONDS) --jobs $(FUZZ_JOBS)

test-differential: $(VENV)/.ready  ## 100,000 random pickles and 10,000 torch files, read as pickle and torch read them
	WEIGHTLIFT_CASES=100000 $(BIN)/python -m pytest tests/fuzz/test_differential.py

test-lint: $(VENV)/.ready  ## 20,000 source files and notebooks changed at random, linted and fixed (TREE=folder for more to start from)
	WEIGHTLIFT_CASES=20000 WEIGHTLIFT_TREE=$(TREE) $(BIN)/python -m pytest tests/lints/test_lint_robustness.py

SCANNERS := picklescan modelscan fickling modelaudit-picklescan
compare-scanners: $(VENV)/.ready  ## Our verdicts beside other scanners' and torch's: docs/security.md (Linux, half an hour)
	@test -e .venv-scanners/.ready || { $(PYTHON) -m venv .venv-scanners && for scanner in $(SCANNERS); do \
		.venv-scanners/bin/python -m pip install --quiet --disable-pip-version-check $$scanner || \
		echo "$$scanner is not to be had: its column is left out" >&2; done; touch .venv-scanners/.ready; }
	$(BIN)/python tools/fetch_checkpoints.py $(CORPUS)
	@files=$$(mktemp -d) && marker=$$($(BIN)/python benchmarks/hostile_files.py $$files) && \
		$(BIN)/python benchmarks/compare_scanners.py hostile=$$files benign=$(CORPUS) --scanners .venv-scanners/bin/python \
		--torch $(BIN)/python --marker $$marker --results .scanners.json --page docs/security.md; \
		status=$$?; rm -rf $$files; exit $$status
