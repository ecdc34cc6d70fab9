# The first interpreter that is new enough and can make a virtual environment.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-compile

# `make animate SEED=... CHARACTER=...`: identities and motions from 950000 on were never trained on.
SEED ?= 950001
FRAMES ?= 48
SIZE ?= 128x128
OUT ?= out

.PHONY: animate page weights test test-full lint bench clean

animate: .venv/core.stamp
	$(PY) -m jaxanim.puppets --seed $(SEED) --frames $(FRAMES) --size $(SIZE) --out $(OUT)/puppet
	$(PY) -m sample.animate --system magicanimate --reference $(OUT)/puppet/reference.png \
		--motion $(OUT)/puppet/densepose.mp4 --truth $(OUT)/puppet/truth.mp4 \
		--size $(SIZE) --frames $(FRAMES) --out $(OUT)/animate.mp4

# Trains what weights/ holds again, into runs/: some 14 hours on two cores, and PoseAnything's and DirectAnimator's; configs/weights.py has the runs.
weights: .venv/core.stamp
	$(PY) -m train.weights

# A page at http://127.0.0.1:7860; `make page PAGE="--models FOLDER --port 8000"`.
page: .venv/page.stamp
	$(PY) -m sample.page $(PAGE)

# The compiler uses one core: two processes share the test files.
test: lint
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 40

# One process for each: what one took from the system, the next has.
test-full: .venv/test.stamp
	for part in unet controlnet video_unet vae clip ten_steps; do \
		$(PY) -m pytest -s -m full_size -k test_$$part tests/full_size || exit 1; done
	$(PY) -m pytest -s -m full_size tests/full_size/test_magicanimate.py
	$(PY) -m pytest -s -m full_size tests/full_size/test_t5.py tests/full_size/test_cogvideox.py
	for part in transformer vae; do \
		$(PY) -m pytest -s -m full_size -k test_wan_$$part tests/full_size/test_wan.py || exit 1; done
	$(PY) -m pytest -m full_size tests/bench tests/full_size/test_stages.py tests/full_size/test_ahead.py
	$(PY) -m pytest -m slow tests --ignore tests/colab

# Every notebook, those too that train.
test-notebooks: .venv/test.stamp
	$(PY) -m pytest -m 'slow or not slow' tests/colab

# Needs chromium and chromedriver.
test-page: .venv/test.stamp .venv/page.stamp
	$(PIP) 'selenium>=4.20'
	$(PY) -m pytest -m browser tests/page

lint: .venv/test.stamp
	$(PY) -m ruff check .

bench: .venv/test.stamp
	for name in $(notdir $(basename $(wildcard tests/bench/bench_*.py))); do \
		$(PY) -m tests.bench.$$name || exit 1; done

clean:
	rm -rf out .pytest_cache .ruff_cache

.venv/core.stamp: pyproject.toml | .venv/bin/python
	$(PIP) --editable .
	touch $@

.venv/page.stamp: pyproject.toml | .venv/bin/python
	$(PIP) --editable '.[page]'
	touch .venv/core.stamp $@

.venv/test.stamp: pyproject.toml | .venv/bin/python
	$(PIP) --editable '.[test]'
	# Draws the poses that ours are compared with; what it depends on would break PyTorch's CPU build, as what
	# rtmlib depends on would OpenCV's.
	$(PIP) --no-deps 'controlnet-aux==0.0.10'
	$(PIP) --no-deps 'rtmlib==0.0.16'
	touch .venv/core.stamp $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 with venv was found; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
