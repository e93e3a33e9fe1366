# Two commands on a fresh machine with Python 3.11 and make: `make demo` and `make test`. Each sets up what it needs.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

.PHONY: demo test faults bench soak long lint types setup browser clean gallery

setup: $(READY)

# Versions that are tested together; torch for the processor only, where the installer is offered it.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: needs $(PYTHON); name yours with PYTHON=…"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt -e '.[demo,tables,cloud,cluster]' \
	    pytest pytest-timeout pytest-xdist hypothesis playwright ruff mypy pandas-stubs lightning transformers accelerate \
	    jsonschema "triton; sys_platform == 'linux' and platform_machine == 'x86_64'" \
	    flask flask-cors cryptography jmespath py-partiql-parser requests responses xmltodict ipython
	# The object store of the tests. botocore asks for an older python-dateutil than it needs.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps moto boto3 botocore s3transfer
	touch $@

# Trains a small CNN on real images with a fault planted, records every iteration, analyses, reports.
# make demo ARGS="--fault label-flip --seed 7"
demo: $(READY)
	$(BIN)/deeptracker demo $(ARGS)

# Everything CI runs, on two cores; the browser tests need Chromium, found or installed here.
# make test ARGS="-n 0 -k recorder"
test: $(READY) lint types browser
	CHROMIUM="$$(sh tests/browser/find_chromium.sh)" $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)
	@test -n "$$(sh tests/browser/find_chromium.sh)" || echo "NOT RUN: the browser tests (no Chromium; BROWSER=optional)"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

browser: $(READY)
	sh tests/browser/install_chromium.sh $(BIN)

# How often the analysis is right on faults planted in forks of real trainings; stop and resume as you like.
# make faults ARGS=--small
faults: $(READY)
	$(BIN)/python workflows/planted_faults.py $(ARGS)

# What we claim about speed and size, each beside its limit and its peers; a quiet machine gives the truest figures.
# make bench BENCHMARKS=gpu      on a machine with a CUDA device, and a torch for it
# make bench BENCHMARKS=analysis ARGS="--workers 1 2"
# make bench BENCHMARKS=overhead ARGS="--nets 3c3d --columns 1 4 16 64 256 --peers"
# make bench BENCHMARKS="screen peers" ARGS=--small
# make bench BENCHMARKS=live     how far behind a training its events are
# make bench BENCHMARKS="explorer sessions" ARGS=--small    how long a hand waits for the explorer, alone and beside others
# make bench BENCHMARKS="pages dashboards"    the pages of a live run and of a hundred runs; TensorBoard beside ours
BENCHMARKS ?= snapshot overhead disk
bench: $(VENV)/.ready-bench
	for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py $(ARGS) || exit 1; done

$(VENV)/.ready-bench: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt tensorboard wandb pyarrow
	touch $@

# Attacks on what is promised, in their long forms, and the table of the README's section on reliability.
# make soak ARGS="--only kills --share 0.1"
soak: $(VENV)/.ready-soak
	$(BIN)/python -m soak $(ARGS)

# atheris: the fuzzer that is guided by coverage. The tests do without.
$(VENV)/.ready-soak: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt atheris
	touch $@

# Long recordings: files, memory and time stay bounded, and the analysis is right at the end.
long: $(READY)
	$(BIN)/python soak/recording.py $(ARGS)
	$(BIN)/python soak/recording.py --iterations 100000 --no-analysis

# The pictures of the README and of docs/gallery.md, from two demo runs and a simulated ResNet-50 (minutes).
gallery: $(READY) browser
	rm -rf runs/gallery runs/simulated
	$(BIN)/deeptracker demo --fault label-flip --seed 7 --out runs/gallery/flip
	$(BIN)/deeptracker demo --fault none --seed 8 --out runs/gallery/clean
	$(BIN)/deeptracker simulate runs/simulated --model resnet50 --iterations 400 --images 5000 --passes 100
	$(BIN)/deeptracker analyze runs/simulated
	CHROMIUM="$$(sh tests/browser/find_chromium.sh)" $(BIN)/python docs/gallery.py runs/gallery/flip runs/simulated

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
