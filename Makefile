# `make demo`, `make test-fast`, `make test` and `make check` set up everything they need in .venv.
VENV ?= .venv
PYTHON := $(VENV)/bin/python
TRANSFORMERS := 5.23.0
export TOKENIZERS_PARALLELISM = false
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY = 1

.PHONY: setup demo test test-fast check style cards table clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --constraint constraints.txt --editable ".[all,demo,onnx,test]"
	$(PYTHON) -m pip download --quiet --no-deps --no-binary :all: --no-build-isolation --dest $(VENV) transformers==$(TRANSFORMERS)
	tar -xzf $(VENV)/transformers-$(TRANSFORMERS).tar.gz -C $(VENV) transformers-$(TRANSFORMERS)/tests
	touch $@

# The whole road on the synthetic sample corpus: clips, features, training, results, card, plots, one prediction.
# OMP_NUM_THREADS: small models are several times slower on two threads than on one, above all beside other programs.
demo: setup
	OMP_NUM_THREADS=1 $(PYTHON) examples/demo.py

# The inner loop: without the tests that train runs, start processes or build packages.
test-fast: setup
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist worksteal -m "not full"

# Everything.
test: setup
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy src/mm_affect tests/typed_use.py

style: setup
	$(PYTHON) -m ruff check --fix . && $(PYTHON) -m ruff format .

# Model cards and the README's table of results, made again from the results.json files.
cards: setup
	$(PYTHON) examples/make_tables.py

clean:
	rm -rf demo_output build src/*.egg-info
