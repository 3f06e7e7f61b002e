# Two commands to begin with: `make demo` and `make test`. Each sets up what it needs in .venv, once.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUN := HF_HUB_OFFLINE=1 $(BIN)/python

.PHONY: demo test lint format clean

demo: .venv/installed  ## photos in, product pictures out, with the built-in model
	$(RUN) inference.py --example_image examples/example1.jpg examples/example2.jpg examples/example3.jpg --category all --output_dir outputs
	@echo "The product pictures are listed above; outputs/*_panel.png show photo, mask and product side by side."

test: .venv/installed-dev  ## the test suite
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: requirements.txt constraints.txt | .venv/created
	@echo "Installing the requirements into .venv, this once (PyTorch is several GB on Linux) ..."
	$(INSTALL) -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(INSTALL) -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv outputs
