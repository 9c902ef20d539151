# The commands of this repository; `make` lists them. Everything runs from .venv, which is made on first use.

PY ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/installed
LABEL := .venv-label
WORKERS ?= 2

INPUT ?=
COUNT ?= 300
SEED ?= 1
SECTION ?= training
DATA ?= data/rendered
ANATOMY ?=
PATIENTS ?=
MINUTES ?= 18
PANCREAS_DATA ?= ../shared/data
STUDIES ?= studies
FUZZ_COUNT ?= 10000
FUZZ_SEED ?= 1

# PyTorch's switch for huge pages: where a virtual machine gets its memory slowly, page by page, as some do, large
# tensors come ten times as fast.
export THP_MEM_ALLOC_ENABLE ?= 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint types test-fast test-slow bench anatomy glands data weights-data weights compare \
	compare-data hospital package verify label label-test fuzz clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

venv: $(STAMP) ## install the pinned requirements into .venv, only when they changed

$(STAMP): requirements.txt requirements-dev.txt requirements-viewer.txt
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one: make PY=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PY) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PY) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PY) -m venv $(VENV)
	$(PYTHON) -m pip install --disable-pip-version-check --quiet -r requirements.txt -r requirements-dev.txt
	# ipyniivue brings the viewer of report.html as a file; its own dependencies, a whole notebook, are not needed
	$(PYTHON) -m pip install --disable-pip-version-check --quiet --no-deps -r requirements-viewer.txt
	@touch $@

demo: $(STAMP) ## segment a rendered scan, or INPUT=scan.nii.gz, and score it against the truth
	$(PYTHON) -m bundle demo $(if $(INPUT),--input "$(INPUT)") --output demo

test: $(STAMP) ## lint, types and every quick test
	@$(MAKE) --no-print-directory -j 2 lint types
	@$(MAKE) --no-print-directory test-fast

lint: $(STAMP) ## style and import order
	$(PYTHON) -m flake8 bundle tests
	$(PYTHON) -m isort --check-only --diff --quiet bundle tests

types: $(STAMP) ## static types
	$(PYTHON) -m mypy bundle

# One thread per worker: two workers with a thread each finish sooner than two that share both cores.
test-fast: $(STAMP) ## the quick tests alone
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -m "not slow and not label" -n $(WORKERS)

test-slow: $(STAMP) ## the tests that take minutes: training, two processes, whole scans
	$(PYTHON) -m pytest -m slow

bench: $(STAMP) ## seconds and memory of the whole job on a 512 x 512 x 300 scan
	$(PYTHON) -m bundle bench

anatomy: $(STAMP) ## whole-body label maps for rendering, from the label maps in PANCREAS_DATA/anatomy
	$(PYTHON) -m bundle anatomy build --source "$(PANCREAS_DATA)/anatomy" --output data/anatomy

data: $(STAMP) ## render COUNT scans for SECTION of DATA, from drawn bodies or ANATOMY (of PATIENTS only)
	$(PYTHON) -m bundle render --output "$(DATA)" --section $(SECTION) --count $(COUNT) --seed $(SEED) \
		--workers $(WORKERS) $(if $(ANATOMY),--anatomy "$(ANATOMY)") $(if $(PATIENTS),--patients "$(PATIENTS)")

# The split by patient of the shipped weights; nothing of the test is in training.
TRAIN := gibson_13,gibson_18,gibson_21,gibson_37,gibson_43,gibson_45,gibson_48,gibson_55,gibson_66,totalsegmentator_s0327
VALIDATION := gibson_74,totalsegmentator_s0327
TEST := gibson_11,gibson_15,gibson_50,gibson_85,totalsegmentator_s0328
VALIDATION_GLANDS := msd_042,msd_071,msd_119,msd_186,msd_256,msd_315,msd_370,msd_423,msd_444,msd_490
comma := ,
space := $(subst ,, )
TRAIN_GLANDS = $(subst $(space),$(comma),$(filter-out $(subst $(comma), ,$(VALIDATION_GLANDS)),\
	$(patsubst %.nii.gz,%,$(notdir $(sort $(wildcard data/glands/*.nii.gz))))))

RENDER = $(PYTHON) -m bundle render --workers $(WORKERS)
TRAINING_GRID := --in-plane-mm 1.0 1.6
MAPS := --anatomy data/anatomy --procedural-share 0
GLANDS := --glands data/glands
NO_GLAND := --anatomy data/anatomy --patients $(VALIDATION) --procedural-share 0.5 --without-pancreas 1
TRANSPLANTS = $(GLANDS) --gland-patients $(TRAIN_GLANDS)
MORE_TRANSPLANTS = --anatomy data/anatomy --procedural-share 0.15 --patients $(TRAIN) $(TRANSPLANTS) --gland-share 0.9 --deformation 1.5

# What `make compare` trains on, and the fifth and sixth training too: $(1) is the folder.
define COMPARED_TRAINING
$(RENDER) --output $(1) $(TRAINING_GRID) --section training --count 64 --seed 19000 $(MAPS) --patients $(TRAIN) \
	$(TRANSPLANTS) --gland-share 0.8 --deformation 1.4
$(RENDER) --output $(1) $(TRAINING_GRID) --section training --count 32 --seed 19100
$(RENDER) --output $(1) $(TRAINING_GRID) --section validation --count 1 --seed 19200
endef

glands: $(STAMP) ## pancreases to transplant into bodies, from the masks in PANCREAS_DATA/pancreas_masks
	$(PYTHON) -m bundle anatomy glands --source "$(PANCREAS_DATA)/pancreas_masks" --output data/glands

weights-data: anatomy glands ## the rendered scans of the shipped weights: training, validation, test
	$(RENDER) --output data/weights --section training --count 60 --seed 1000 $(TRAINING_GRID)
	$(RENDER) --output data/weights --section training --count 110 --seed 2000 $(TRAINING_GRID) $(MAPS) --patients $(TRAIN)
	$(RENDER) --output data/weights --section training --count 82 --seed 7000 $(TRAINING_GRID) --without-pancreas 0.2 \
		$(MAPS) --patients $(TRAIN)
	$(RENDER) --output data/weights --section training --count 120 --seed 7500 $(TRAINING_GRID) --without-pancreas 0.2
	$(RENDER) --output data/weights --section training --count 220 --seed 8000 $(TRAINING_GRID) --without-pancreas 0.15 \
		$(MAPS) --patients $(TRAIN) $(TRANSPLANTS) --gland-share 0.8 --deformation 1.4
	$(RENDER) --output data/weights --section training --count 160 --seed 10000 $(TRAINING_GRID) --without-pancreas 0.12 \
		$(MAPS) --patients $(TRAIN) $(TRANSPLANTS) --gland-share 0.9 --deformation 1.5
	$(RENDER) --output data/weights --section training --count 120 --seed 11000 $(TRAINING_GRID) --without-pancreas 0.12 \
		$(MAPS) --patients $(TRAIN) $(TRANSPLANTS) --gland-share 0.9 --deformation 1.5
	$(RENDER) --output data/weights --section training --count 25 --seed 12000 $(TRAINING_GRID) --without-pancreas 0.12 \
		$(TRANSPLANTS) --gland-share 0.7 --deformation 1.4
	$(call COMPARED_TRAINING,data/more_training)
	$(RENDER) --output data/more_training $(TRAINING_GRID) --section training --count 105 --seed 21000 --without-pancreas 0.1 \
		$(MORE_TRANSPLANTS)
	$(RENDER) --output data/more_training $(TRAINING_GRID) --section training --count 94 --seed 22000 --without-pancreas 0.1 \
		$(MORE_TRANSPLANTS)
	$(RENDER) --output data/weights --section validation --count 20 --seed 9000 $(TRAINING_GRID) \
		$(MAPS) --patients $(VALIDATION) $(GLANDS) --gland-patients $(VALIDATION_GLANDS) --gland-share 0.8
	$(RENDER) --output data/weights --section validation --count 8 --seed 9100 $(TRAINING_GRID)
	$(RENDER) --output data/more_validation --section validation --count 24 --seed 9700 $(TRAINING_GRID) \
		--anatomy data/anatomy --patients $(VALIDATION) --procedural-share 0.3 \
		$(GLANDS) --gland-patients $(VALIDATION_GLANDS) --gland-share 0.8
	$(RENDER) --output data/without_pancreas --section validation --count 30 --seed 9200 $(TRAINING_GRID) $(NO_GLAND)
	$(RENDER) --output data/without_pancreas --section validation --count 36 --seed 9400 $(TRAINING_GRID) $(NO_GLAND)
	$(RENDER) --output data/without_pancreas --section validation --count 60 --seed 9600 $(TRAINING_GRID) $(NO_GLAND)
	$(RENDER) --output data/weights --section test --count 24 --seed 17800 $(MAPS) --patients $(TEST)
	$(RENDER) --output data/weights --section test --count 20 --seed 17900
	$(RENDER) --output data/without_pancreas --section test --count 40 --seed 17700 \
		--anatomy data/anatomy --patients $(TEST) --procedural-share 0.5 --without-pancreas 1

# A hospital whose scans look unlike those of the training, with patients who were in none.
HOSPITAL = $(RENDER) --output data/hospital --scanner docs/hospital_scanner.json --thickness-mm 4 5
hospital: anatomy glands ## what 2, 5, 10 and 20 scans of a hospital of its own bring: output/learning_curve
	$(HOSPITAL) --section training --count 20 --seed 18000 $(MAPS) --patients $(VALIDATION) \
		$(GLANDS) --gland-patients $(VALIDATION_GLANDS) --gland-share 0.8
	$(HOSPITAL) --section validation --count 1 --seed 18100
	$(HOSPITAL) --section test --count 24 --seed 18200 $(MAPS) --patients $(TEST)
	$(PYTHON) -m bundle learning-curve --data data/hospital --output output/learning_curve

TRAINING = $(PYTHON) -m monai.bundle run training --dataset_dir data/weights --output_dir output/weights \
	--ckpt_dir output/weights --val_interval 2
LOCALIZER := "['configs/train.json','configs/train_localizer.json']"
REAL_SLICES := "['configs/train.json','configs/train_real_slices.json']"

weights: $(STAMP) ## train both networks as the shipped ones were, into models; real slices from PANCREAS_DATA
	$(TRAINING) --config_file $(LOCALIZER) --max_epochs 16
	$(TRAINING) --config_file configs/train.json --checkpoint output/weights/model_localizer.pt --max_epochs 28
	$(PYTHON) -m monai.bundle run training --config_file $(REAL_SLICES) --dataset_dir data/more_training \
		--slices_dir "$(PANCREAS_DATA)" --test_fold 0 --real_slices#batch_size 4 --segmenter_patch#slab_prob 0.3 \
		--checkpoint output/weights/model.pt --learning_rate 0.0007 --max_minutes 95 --max_epochs 100000 \
		--val_interval 100000 --patience 100000 --num_workers 0 --seed 6 --output_dir output/on_slices --ckpt_dir output/on_slices
	$(PYTHON) -m bundle publish output/weights/model_localizer.pt --output models/model_localizer.pt
	$(PYTHON) -m bundle publish output/on_slices/model.pt --output models/model.pt

# Training and test on grids alike: some of the systems work on the scan's own.
COMPARED = $(RENDER) --output data/compare $(TRAINING_GRID)
compare-data: anatomy glands ## the scans that `make compare` trains and tests on
	$(call COMPARED_TRAINING,data/compare)
	$(COMPARED) --section test --count 12 --seed 19300 $(MAPS) --patients $(TEST)
	$(COMPARED) --section test --count 10 --seed 19400

compare: compare-data ## train all systems for MINUTES each stage, score them, write docs/comparison.md
	$(PYTHON) -m bundle compare --data data/compare --output output/compare \
		--minutes $(MINUTES) --page docs/comparison.md

package: $(STAMP) ## the bundle as dist/*.zip for monai.bundle.download, with its SHA-256
	$(PYTHON) -m bundle package --output dist

verify: $(STAMP) ## what MONAI and the model zoo check, here and on the unpacked package; minutes
	$(PYTHON) -m bundle verify
	$(PYTHON) -m bundle package --output dist
	$(PYTHON) -m bundle verify dist/*.zip

# MONAI Label needs older packages than the bundle: an environment of its own, of several GB.
$(LABEL)/installed: requirements-label.txt requirements-label-app.txt
	$(PY) -m venv $(LABEL)
	$(LABEL)/bin/python -m pip install --disable-pip-version-check --quiet -r requirements-label.txt
	# its own list names more than the server imports, such as sam2, which would download torch a second time
	$(LABEL)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps -r requirements-label-app.txt
	@touch $@

label: $(LABEL)/installed ## MONAI Label on STUDIES, a folder of NIfTI scans or the DICOMweb address of a PACS
	$(LABEL)/bin/python -m bundle label "$(STUDIES)"

label-test: $(STAMP) $(LABEL)/installed ## the bundle in MONAI Label, a PACS and a browser; minutes
	$(PYTHON) -m pytest -m label

fuzz: $(STAMP) ## FUZZ_COUNT odd NIfTI and DICOM inputs of FUZZ_SEED through the whole command; failing ones stay
	$(PYTHON) -m tests.fuzz --count $(FUZZ_COUNT) --seed $(FUZZ_SEED) --workers $(WORKERS) --keep output/fuzz

clean: ## remove what the other commands made, rendered data excepted
	rm -rf $(VENV) $(LABEL) demo build dist *.egg-info .mypy_cache .pytest_cache
	find bundle tests -name __pycache__ -type d -prune -exec rm -rf {} +
