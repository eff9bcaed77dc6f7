# Every target sets up .venv first, from pinned versions, on any machine with Python >= 3.11.
PYTHON ?= python3
BIN := .venv/bin
# Claims that are quick to decide and together compare every loss and gradient, for the sample of attacks.
ATTACKED ?= corollary-*
STAMP := .venv/.installed
# Without bytecode every worker of the tests, and every process that they start, compiles all packages again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: verify test test-slow nightly attack attack-sample parity lint wheel-check figures notebooks lab docs bench sweeps clean

# Results of the same code and data are reused; VERIFY=--fresh decides everything again.
verify: $(STAMP)
	$(BIN)/circuits verify $(VERIFY)

# loadscope keeps a file's tests on one worker, so that no module fixture is built twice.
test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadscope -m "not slow"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadscope -m slow

nightly: test-slow parity attack

# Breaks the library, and asks whether the ledger notices: functions one by one, then formulas one by one. Takes hours; an
# interrupted run resumes. The sample takes two minutes, and traces its claims once for both.
attack: $(STAMP)
	mkdir -p results
	$(BIN)/python -m proofs_check.attack functions --json results/attack.json
	$(BIN)/python -m proofs_check.attack formulas --json results/attack.json

attack-sample: $(STAMP)
	mkdir -p results
	rm -f results/attack-sample.json
	$(BIN)/python -m proofs_check.attack functions --only '$(ATTACKED)' --sample 4 --json results/attack-sample.json
	$(BIN)/python -m proofs_check.attack formulas --only '$(ATTACKED)' --sample 6 --json results/attack-sample.json

# The reference implementations, in an environment of their own: PyTorch is a peer of tests and no dependency.
parity: requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --no-deps --requirement requirements.txt
	.venv-peers/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	.venv-peers/bin/python -m pip install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
	.venv-peers/bin/python -m pytest tests/pretrained/test_parity.py tests/pretrained/test_smollm2.py -m ""

# The wheel in an environment of its own, used from an empty folder. Dependencies are borrowed from .venv: PYTHONPATH does not
# process .pth files, so the editable install there stays out of sight.
wheel-check: $(STAMP)
	rm -rf build/bdist.* build/elsewhere build/lib build/venv build/wheel && mkdir -p build/elsewhere
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON) -m venv build/venv
	build/venv/bin/python -m pip install --quiet --no-deps build/wheel/*.whl
	cd build/elsewhere && export PYTHONPATH=$$(echo $(CURDIR)/$(BIN)/../lib/python*/site-packages) && \
		../venv/bin/python -c 'import circuits, sys; sys.exit("build/venv" not in circuits.__file__)' && \
		../venv/bin/circuits verify --fresh --only 'appendix-e3.*,section-5.*,figure-3.*,transfer.power,lemma-1.*' && \
		../venv/bin/circuits evaluate star-2x5-mtp3 --examples 64

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

figures: $(STAMP)
	$(BIN)/circuits attention checkpoints/star-2x5-ntp --out figures/figure_5_ours
	$(BIN)/circuits attention checkpoints/star-2x5-mtp3 --out figures/figure_6_ours
	$(BIN)/circuits probe adjacency checkpoints/dag-injection --out figures/adjacency_injection
	for script in $(filter-out figures/common.py,$(wildcard figures/*.py)); do $(BIN)/python $$script || exit 1; done

# Writes the notebooks with their outputs to build/notebooks; NOTEBOOKS=--force executes those that did not change too.
notebooks: $(STAMP)
	$(BIN)/python docs/execute_notebooks.py $(NOTEBOOKS)

# JupyterLab in the folder of the notebooks, which open as notebooks at a double click: notebooks/.jupyter says so.
lab: $(STAMP)
	JUPYTER_CONFIG_PATH=$(CURDIR)/notebooks/.jupyter JUPYTERLAB_WORKSPACES_DIR=$(CURDIR)/build/lab \
		$(BIN)/jupyter lab --ServerApp.root_dir=$(CURDIR) --LabApp.default_url=/lab/tree/notebooks $(LAB)

# The site, with the outputs of the notebooks, in build/docs/html; a warning is an error, and nothing needs a network.
docs: notebooks
	$(BIN)/sphinx-build -E -W --keep-going -n -q -d build/docs/doctrees docs build/docs/html

bench: $(STAMP)
	for script in gradients sampling flow heads_memory capture speculative adjacency; do $(BIN)/python benchmarks/$$script.py || exit 1; done

# About an hour on two cores; finished runs are skipped.
sweeps: $(STAMP)
	for grid in examples/sweeps/*.yaml; do $(BIN)/circuits sweep $$grid --out results/$$(basename $$grid .yaml) --workers 2 || exit 1; done

clean:
	rm -rf .venv .venv-peers build *.egg-info

$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(f"Python 3.11 or newer is needed, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 ..." if v < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(STAMP)
