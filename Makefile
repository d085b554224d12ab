# The two commands: `make demo` and `make test`. Both make their own environment in .venv/.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench audit soak clean constraints

demo: $(VENV)/ready  ## the main job on real input, in .demo/
	@$(BIN)/evault --home .demo demo

test: $(VENV)/ready-dev  ## the tests; CI=true runs the slow ones too
	@$(BIN)/python -m pytest -n auto --dist worksteal

check: $(VENV)/ready-dev  ## formatter, linter, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/ready-dev .venv-bench/ready  ## side by side with what a user would run instead
	@$(BIN)/python tests/bench/run.py $(PART)

# What others would run: its dependencies contradict ours, so it lives apart.
.venv-bench/ready: tests/bench/tools.txt
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

audit: .venv-audit/ready  ## the pinned packages, against the known vulnerabilities
	@.venv-audit/bin/python .ci/vulnerabilities.py

.venv-audit/ready: .ci/audit.txt
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

soak: $(VENV)/ready-dev  ## the long runs: many kills, many forks, long fuzzing
	@$(BIN)/python -m pytest -m soak --timeout 3600

constraints: $(VENV)/ready-dev  ## pin every version and hash anew
	$(BIN)/python -m pip install -q pip-tools
	$(BIN)/pip-compile -q --strip-extras --generate-hashes --allow-unsafe --extra dev \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
	  -o constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) .venv-bench .venv-audit .demo .bench build *.egg-info

$(VENV)/pip: constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11, or make PYTHON=..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV)/ (once)"
	@touch $@

# Every package is pinned with its hash; our own is then put on top of them, as it lies here.
$(VENV)/ready: $(VENV)/pip pyproject.toml
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready
	@touch $@
