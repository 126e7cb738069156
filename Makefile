# The environment is made once, in .venv, and again only when pyproject.toml changes.
# The first Python at hand that is new enough; say make PYTHON=... for another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OLDEST := .venv-oldest
CLEAN := .venv-dist

export OMP_NUM_THREADS = 1
export MPLBACKEND = agg

.PHONY: demo test test-oldest lint types bench docs docs-short dist test-dist clean

demo: $(READY)
	$(BIN)/python tools/run_example.py examples/plot_grid_search.py demo_output

test: $(READY)
	$(BIN)/python -m pytest

# The whole suite with each direct dependency at its lower bound.
test-oldest: $(READY)
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(BIN)/uv pip install --quiet --python $(OLDEST)/bin/python \
		--upgrade --resolution lowest-direct --editable '.[test]'
	$(OLDEST)/bin/python -m pytest

lint: types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/numpydoc lint $$(git ls-files 'sktopo/*.py' | grep -v '/_')

# The public face, as a typed user calls it.
types: $(READY)
	$(BIN)/python -m mypy

# Figures of this machine, and the page of the site that tells them.
bench: $(READY)
	$(BIN)/python benchmarks/bench.py docs/benchmarks/results.json
	$(BIN)/python docs/benchmarks_page.py

# The site; warnings are errors. The gallery is run, which takes long.
docs: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# The same with the pages of the gallery as they are written, without their results.
docs-short: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -D plot_gallery=0 -b html docs docs/_build/short

# What is released: an sdist and a wheel, in dist/.
dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

# The wheel, installed in an environment of its own, and the sdist's tests against it.
test-dist: dist
	rm -rf $(CLEAN) build/sdist
	mkdir -p build/sdist
	$(PYTHON) -m venv $(CLEAN)
	$(BIN)/uv pip install --quiet --python $(CLEAN)/bin/python "$$(ls dist/*.whl)[test]"
	tar -xzf dist/*.tar.gz --strip-components=1 -C build/sdist
	cd build/sdist && ../../$(CLEAN)/bin/pytest --pyargs sktopo
	cd build/sdist && ../../$(CLEAN)/bin/pytest tests

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "sktopo needs Python 3.11 or newer: make PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) $(OLDEST) $(CLEAN) build dist demo_output docs/_build docs/auto_examples docs/generated docs/api.rst docs/guide/measures_list.rst
