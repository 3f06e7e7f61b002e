# Two commands to begin with: `make demo` and `make test`. Each sets up what it needs in .venv, once.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUN := HF_HUB_OFFLINE=1 $(BIN)/python

.PHONY: demo test examples assets lint format clean

demo: .venv/installed  ## photos in, product pictures out, with the built-in model
	$(RUN) inference.py --example_image examples --category all --output_dir outputs
	@echo "These are the product pictures; outputs/*_panel.png show photo, mask and product side by side."

test: .venv/installed-dev  ## the test suite
	$(BIN)/python -m pytest

examples: .venv/installed  ## draws the example photos and makes their outputs anew
	$(RUN) examples/make_examples.py
	$(RUN) inference.py --example_image examples/example1.jpg --category upper_body --output_dir examples/outputs
	$(RUN) inference.py --example_image examples/example2.jpg --category lower_body --output_dir examples/outputs
	$(RUN) inference.py --example_image examples/example3.jpg --category dresses --output_dir examples/outputs
	rm examples/outputs/run.json

assets: .venv/installed-dev  ## makes the README's pictures anew
	$(RUN) assets/make_assets.py

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
