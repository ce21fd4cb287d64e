# make demo: the shipped models on the examples in data/ and a small training, ending in results/report.html
# make docs: the documentation, ends in site/index.html
# make test, make lint: for those who change the code; make clean: remove what demo and tests made
# make test-slow: what make test leaves out; make test-avx2: as a processor with AVX2 and no more would run it
# make native: the kernels in C, which the others make where their sources have changed
#
# Each makes .venv itself and does nothing twice. PIP_FLAGS is for pip: name an index of CPU builds there, on Linux without
# an NVIDIA GPU, for a torch that is ten times smaller.
PYTHON ?= python3
PIP_FLAGS ?=
CORES ?= 2
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)
SNAKEFILES := Snakefile workflow
AVX2 := +avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe,+popcnt,+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2
NATIVE := build/.stamp-native

.PHONY: demo test test-slow test-avx2 lint native docs models basecaller clean help
.DEFAULT_GOAL := help

help:
	@sed -n '1,5s/^# //p' Makefile

demo: $(VENV)/.stamp-run $(NATIVE)
	@$(BIN)/snakemake --configfile config/demo.yaml --cores $(CORES)
	@echo "The report: $(CURDIR)/results/report.html"

test: $(VENV)/.stamp-dev $(NATIVE)
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-slow: $(VENV)/.stamp-dev $(NATIVE)
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m 'slow or fuzz or cluster'

# the libraries' own switches: oneDNN and ATen of torch, LLVM of numba; and that of the kernels in C
test-avx2: $(VENV)/.stamp-dev $(NATIVE)
	@BIORRN_ISA=avx2 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 NUMBA_CPU_NAME=x86-64-v3 NUMBA_CPU_FEATURES=$(AVX2) \
		$(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/unit/kernels tests/unit/nn tests/unit/training \
		tests/unit/nanopore tests/unit/proteins tests/unit/tagging tests/cli tests/integration/test_train.py

lint: $(VENV)/.stamp-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/snakefmt --check $(SNAKEFILES)
	@$(BIN)/snakemake --lint

# installing biorrn makes them too; without a C compiler, torch does their work
native: $(NATIVE)

$(NATIVE): setup.py $(wildcard biorrn/kernels/*/*.c biorrn/kernels/*/*.h) | $(VENV)/.stamp-python
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@mkdir -p $(@D) && touch $@

# the documentation as a site, to read from the folder site/
docs: $(VENV)/.stamp-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "The documentation: $(CURDIR)/site/index.html"

# $(call ship,FOLDER,MODELS): make models of results/FOLDER the shipped ones
ship = for model in $(2); do mkdir -p biorrn/pretrained/$$model; \
	cp results/$(1)/$$model/weights.safetensors results/$(1)/$$model/recipe.yaml biorrn/pretrained/$$model/ || exit 1; done

# train the shipped protein models again, on the real data (see workflow/models.smk); about two and a half hours on
# two cores. It is resumed where it was interrupted
models: $(VENV)/.stamp-run $(NATIVE)
	@$(BIN)/snakemake -s workflow/models.smk --cores $(CORES) --prioritize ship_ddg train_structure
	@$(call ship,models,stability beta_lactamase solubility melting_temperature secondary_structure)

# train the shipped basecallers again, on the real data (see workflow/basecaller.smk); about five hours on two cores
basecaller: $(VENV)/.stamp-run $(NATIVE)
	@$(BIN)/snakemake -s workflow/basecaller.smk --cores $(CORES)
	@$(call ship,basecaller,dna_r9.4.1_fast dna_r9.4.1_hac)

clean:
	rm -rf results site .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

$(VENV)/.stamp-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "biorrn needs Python 3.11 or newer; '$(PYTHON)' is not. Name one: make demo PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@touch $@

# torch first and alone: it is most of the download, and a failure later does not repeat it
$(VENV)/.stamp-run: pyproject.toml constraints.txt | $(VENV)/.stamp-python
	@echo "Installing $(TORCH)"
	@$(PIP) $(TORCH)
	@echo "Installing biorrn"
	@$(PIP) -e . || { echo "Some packages are compiled here where no wheel fits: this needs a C compiler." >&2; exit 1; }
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml constraints.txt | $(VENV)/.stamp-run
	@echo "Installing the tools for tests"
	@$(PIP) -e '.[dev]'
	@touch $@
