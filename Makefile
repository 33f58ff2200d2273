# Everything happens in the virtual environment .venv, where the project is installed from a wheel,
# as users get it. With another Python (3.11 or later): make PYTHON=/usr/bin/python3.12 test

PYTHON ?= python3
PYTEST_ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
# Folders too: removing a file changes its folder.
SOURCES := CMakeLists.txt pyproject.toml LICENSE $(wildcard README.md) \
    $(shell find src native -name __pycache__ -prune -o -print)

.PHONY: demo test test-long fuzz lint bench docs clean bpffs
.NOTPARALLEL:

demo: .venv/installed
	@$(BIN)/pfq demo tests/captures/pcapplusplus-example.pcap

test: .venv/dev .venv/installed bpffs
	@$(BIN)/pytest -m "not vm and not fuzz and not long" $(PYTEST_ARGS)

test-long: .venv/dev .venv/installed bpffs
	@$(BIN)/pytest -m "not fuzz" --fetch $(PYTEST_ARGS)

fuzz: .venv/dev .venv/installed bpffs
	@$(BIN)/pytest -m fuzz -s $(PYTEST_ARGS)

lint: .venv/dev .venv/installed
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python .ci/sizes.py

bench: .venv/bench .venv/installed
	@$(BIN)/python bench/capture.py
	@$(BIN)/python bench/programs.py
	@$(BIN)/python bench/compile.py
	@$(BIN)/python bench/files.py
	@$(BIN)/python bench/groups.py

docs: .venv/docs .venv/installed
	@$(BIN)/sphinx-build -q -W --keep-going docs docs/_build

clean:
	@rm -rf .venv build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/pyvenv.cfg:
	@.ci/prepare $(PYTHON)
	@$(PYTHON) -m venv .venv

.venv/installed: .venv/pyvenv.cfg $(SOURCES)
	@echo "installing pfq into .venv" >&2
	@$(PIP) .
	@touch $@

.venv/dev .venv/docs .venv/bench: .venv/pyvenv.cfg pyproject.toml
	@[ $(@F) != dev ] || .ci/prepare $(PYTHON) tests
	@echo "installing pfq and what '$(@F)' needs into .venv" >&2
	@$(PIP) ".[$(@F)]"
	@touch $@ .venv/installed

# Pinned BPF objects live in this file system; a container may lack it.
bpffs:
	@[ "$$(id -u)" != 0 ] || mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || true
