# Two commands to begin with: `make demo` and `make test`. Each sets up what it needs in .venv, once.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUN := HF_HUB_OFFLINE=1 $(BIN)/python

.PHONY: demo test test-wheel examples assets bench dataset-demo bulk-demo train-demo builtin builtin-people builtin-finer builtin-try-on lint format clean

demo: .venv/installed  ## photos in, product pictures and a garment transfer out, with the built-in model
	$(RUN) inference.py --example_image examples --category all --output_dir outputs
	$(RUN) try_on.py --person_image examples/example2.jpg --garment_from examples/example1.jpg --output_dir outputs/try_on
	@echo "These are the product pictures, and one person in another's garment; *_panel.png show what they are made of."

test: .venv/installed-dev  ## the test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-wheel: .venv/installed-dev  ## builds the wheel and uses it in an environment of its own
	$(BIN)/python -m pytest .ci/test_wheel.py

examples: .venv/installed  ## draws the example photos and makes their outputs anew
	$(RUN) examples/make_examples.py
	$(RUN) inference.py --example_image examples/example1.jpg --category upper_body --output_dir examples/outputs
	$(RUN) inference.py --example_image examples/example2.jpg --category lower_body --output_dir examples/outputs
	$(RUN) inference.py --example_image examples/example3.jpg --category dresses --output_dir examples/outputs
	$(RUN) try_on.py --person_image examples/example2.jpg --garment_from examples/example1.jpg --output_dir examples/outputs
	rm -r examples/outputs/run.json examples/outputs/results.jsonl examples/outputs/journal

assets: .venv/installed-dev  ## makes the README's pictures anew
	$(RUN) assets/make_assets.py

DATA_DEMO := outputs/dataset-demo

dataset-demo: .venv/installed  ## both layouts, from nothing to a report, within ten minutes; see docs/datasets.md
	$(RUN) -m drawn_people --layout dresscode --train 1 --test 8 --seed 4242 --output $(DATA_DEMO)/dresscode
	$(RUN) inference_dataset.py --dataset_name dresscode --dataset_root $(DATA_DEMO)/dresscode \
		--output_dir $(DATA_DEMO)/pictures_dresscode --segment all --caption
	$(RUN) evaluate.py --dataset_name dresscode --dataset_root $(DATA_DEMO)/dresscode \
		--pred_dir $(DATA_DEMO)/pictures_dresscode
	$(RUN) -m drawn_people --layout vitonhd --train 1 --test 8 --seed 4242 --output $(DATA_DEMO)/vitonhd
	$(RUN) SegCloth.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd --phase test \
		--output_dir $(DATA_DEMO)/masks --segmentation_model builtin
	$(RUN) precompute_utils/captioning_qwen.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd --phase test \
		--output_path $(DATA_DEMO)/captions --caption_model builtin
	$(RUN) precompute_utils/precompute_text_features.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd \
		--phase test --caption_file $(DATA_DEMO)/captions_person_0_2.json \
		--output_dir $(DATA_DEMO)/text_features
	$(RUN) precompute_utils/precompute_image_features.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd \
		--phase test --output_dir $(DATA_DEMO)/image_features
	$(RUN) inference_dataset.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd \
		--output_dir $(DATA_DEMO)/pictures_vitonhd --mask_dir $(DATA_DEMO)/masks \
		--text_features_dir $(DATA_DEMO)/text_features --image_features_dir $(DATA_DEMO)/image_features
	$(RUN) evaluate.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd \
		--pred_dir $(DATA_DEMO)/pictures_vitonhd

BULK_DEMO := outputs/bulk-demo

bulk-demo: .venv/installed-dev  ## 300 photos in shards through all stages on Ray, killed half-way and resumed; see docs/scale.md
	$(RUN) -m drawn_people --layout dresscode --train 1 --test 100 --seed 4242 --output $(BULK_DEMO)/people
	$(RUN) -m benchmarks.bench_bulk --dataset_root $(BULK_DEMO)/people --output_dir $(BULK_DEMO)

train-demo: .venv/installed  ## both training stages on drawn people, within ten minutes; see docs/training.md
	$(RUN) -m drawn_people --config configs/train_demo/people.json
	$(RUN) train.py --config configs/train_demo/common.json configs/train_demo/extractor.json
	$(RUN) train.py --config configs/train_demo/common.json configs/train_demo/generator.json

BUILTIN := configs/builtin
TRANSFORMERS := $(RUN) -m builtin_training.train_transformers --config $(BUILTIN)/joint.json
MEASURE := $(RUN) -m builtin_training.measure --count 300 --pattern_classifier runs/pattern_classifier

builtin: .venv/installed  ## trains the built-in model from seeds, which takes hours; when interrupted, it resumes
	$(RUN) -m drawn_people --config $(BUILTIN)/people.json
	$(RUN) -m builtin_training.train_vae --config $(BUILTIN)/parts.json $(BUILTIN)/vae.json
	$(RUN) -m builtin_training.train_encoders --config $(BUILTIN)/parts.json $(BUILTIN)/encoders.json
	$(RUN) -m drawn_people --config $(BUILTIN)/layered_people.json
	$(RUN) -m builtin_training.train_segmenter --config $(BUILTIN)/parts.json $(BUILTIN)/segmenter.json
	$(RUN) -m builtin_training.train_captioner --config $(BUILTIN)/parts.json $(BUILTIN)/captioner_start.json
	$(RUN) -m builtin_training.train_captioner --config $(BUILTIN)/parts.json $(BUILTIN)/captioner.json
	mkdir -p runs/frozen && cp -r runs/vae/vae runs/encoders/*/ temu_vtoff/builtin/tryoff/scheduler runs/frozen/
	rm -rf runs/frozen/checkpoints
	$(TRANSFORMERS) $(BUILTIN)/joint_start.json
	$(MAKE) builtin-people SEGMENTER=runs/segmenter/segmenter CAPTIONER=runs/captioner/captioner
	$(TRANSFORMERS) $(BUILTIN)/own_captions.json $(BUILTIN)/joint_outlines.json
	$(TRANSFORMERS) $(BUILTIN)/own_captions.json $(BUILTIN)/textures.json $(BUILTIN)/joint_textures.json
	$(TRANSFORMERS) $(BUILTIN)/own_captions.json $(BUILTIN)/textures.json $(BUILTIN)/attention.json \
		$(BUILTIN)/joint_last.json
	$(RUN) -m builtin_training.assemble --runs runs --transformers runs/joint_last
	$(RUN) -m builtin_training.train_pattern_classifier --config $(BUILTIN)/parts.json $(BUILTIN)/pattern_classifier.json
	$(MEASURE) --output_dir runs/measure \
		--variants full no_caption other_photo no_reference no_fine_mask published_guidance cut_out through_vae

builtin-people: .venv/installed  ## people whom segmenter and captioner were not trained on, with their masks and captions
	$(RUN) -m drawn_people --config $(BUILTIN)/unseen_people.json
	@echo "Garments that the segmenter doesn't find, about one in a thousand, keep their true masks:"
	-$(RUN) SegCloth.py --dataset_name dresscode --dataset_root runs/unseen --output_dir runs/masks --segmentation_model $(SEGMENTER)
	$(RUN) precompute_utils/captioning_qwen.py --dataset_name dresscode --dataset_root runs/unseen \
		--output_path runs/captions --temperatures 0.2 --batch_size 16 --caption_model $(CAPTIONER)

SEGMENTER := builtin
CAPTIONER := builtin

builtin-finer: builtin-people  ## trains the shipped built-in model further, with smaller patches; see docs/builtin_history.md
	$(TRANSFORMERS) $(BUILTIN)/own_captions.json $(BUILTIN)/textures.json $(BUILTIN)/attention.json $(BUILTIN)/finer.json
	$(RUN) -m builtin_training.train_pattern_classifier --config $(BUILTIN)/parts.json $(BUILTIN)/pattern_classifier.json \
		--dataset_root runs/unseen
	$(MEASURE) --output_dir runs/measure_finer --pretrained_model_name_or_path_sd3_tryoff runs/finer

TRY_ON := runs/try_on

builtin-try-on: .venv/installed  ## trains the built-in try-on model from the try-off model, which takes hours; it resumes
	$(RUN) -m builtin_training.encode_try_on --shards 100 --output_dir $(TRY_ON)/encoded
	$(RUN) -m builtin_training.train_try_on --config $(BUILTIN)/try_on.json
	$(RUN) -m builtin_training.assemble_try_on --run $(TRY_ON)/model --output_dir $(TRY_ON)/whole
	$(RUN) -m builtin_training.measure_try_on --tryon_model $(TRY_ON)/whole --count 300 --output_dir $(TRY_ON)/measure

bench: .venv/installed-dev  ## times the stages and presets here; on a GPU at the published size too
	$(RUN) -m benchmarks.bench_generation --vs reference
	$(RUN) -m benchmarks.bench_segment
	$(RUN) -m benchmarks.bench_caption
	$(RUN) -m benchmarks.plot

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

.venv/installed: pyproject.toml requirements.txt constraints.txt | .venv/created
	@echo "Installing the project and its requirements into .venv (once; PyTorch is several GB on Linux) ..."
	$(INSTALL) -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(INSTALL) -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv outputs
