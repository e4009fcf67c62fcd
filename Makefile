# The developers' manual: `make help`. `make demo` and `make test` do all their set-up themselves, on
# a machine with python3 (3.11 or newer), its venv module and headers, a C compiler, make and git.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py tools/stubs.py $(wildcard src/relume/activations.py src/relume/*/*.pyx src/relume/*/*.p*i src/relume/*/*.pxd src/relume/*/*.h)

.PHONY: help demo test lint vec accuracy sweep durability bench figures peers-activations docs example peers-docs clean

help:  ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 19
	@echo
	@echo "variables          PYTHON (python3), VENV (.venv); RELUME_DEBUG=1, RELUME_OPENMP=0: see setup.py"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/built: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/tested: $(VENV)/built
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

demo: $(VENV)/built  ## train one network with four activations on real data, and compare them
	$(BIN)/relume demo

test: $(VENV)/tested  ## build, lint and run the whole test suite
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/tested  ## only the checks of how the code reads
	$(BIN)/python -m pytest tests/test_project.py

vec: $(VENV)/tested  ## prove from GCC's report that every kernel loop is vectorized
	$(BIN)/python tools/vec.py

accuracy: $(VENV)/tested  ## measure every function against mpmath at 100,000 points (10 minutes)
	$(BIN)/python tools/accuracy.py $(ARGS)

sweep: $(VENV)/tested  ## measure the most used functions at all 2**32 float32 inputs (half an hour)
	$(BIN)/python tools/sweep.py $(ARGS)

durability: $(VENV)/built  ## alter 1,000 model files, kill 50 checkpointing runs (2 minutes)
	$(BIN)/python tools/durability.py $(ARGS)

bench: $(VENV)/built  ## time this commit with asv: ufuncs against NumPy's formulas, one epoch
	$(BIN)/pip install --quiet --editable '.[bench]'
	cd benchmarks && ../$(BIN)/asv machine --yes --machine reference > /dev/null
	cd benchmarks && ../$(BIN)/asv run --python=same --machine reference --quick --show-stderr

figures: $(VENV)-peers/built  ## measure the README's table, beside NumPy, scikit-learn and PyTorch
	$(VENV)-peers/bin/python benchmarks/peers/figures.py

peers-activations: $(VENV)-peers/built  ## time every activation beside NumPy, PyTorch, JAX, numexpr
	$(VENV)-peers/bin/python benchmarks/peers/activations.py $(ARGS)

docs: $(VENV)/documented  ## run the examples, build the pages in build/docs, check them
	$(BIN)/python -m pytest -q README.md docs src/relume tests/test_docs.py \
		tests/test_project.py::test_examples_of_docstring_run
	$(BIN)/python -m sphinx -q -n -W --keep-going -b html -d build/doctrees docs build/docs
	$(BIN)/python tools/pages.py build/docs

$(VENV)/documented: $(VENV)/tested
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

example: $(VENV)/tested  ## add an activation to a copy as docs/add_activation.md says (10 minutes)
	$(BIN)/python tools/example.py

peers-docs: $(VENV)-peers/built  ## run the other libraries' code of the pages
	$(VENV)-peers/bin/python tools/blocks.py

$(VENV)-peers/built: $(SOURCES) benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/pip install --quiet -r benchmarks/peers/requirements.txt .
	touch $@

clean:  ## remove what was built and the virtual environments
	rm -rf build dist .venv .venv-peers .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	find src -name '*.so' -delete
