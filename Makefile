# Two commands to begin with: `make demo` and `make test`. Each sets up what it needs in .venv, once.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUN := HF_HUB_OFFLINE=1 $(BIN)/python

.PHONY: demo test test-wheel examples assets bench dataset-demo train-demo builtin builtin-finer lint format clean

demo: .venv/installed  ## photos in, product pictures out, with the built-in model
	$(RUN) inference.py --example_image examples --category all --output_dir outputs
	@echo "These are the product pictures; outputs/*_panel.png show photo, mask and product side by side."

test: .venv/installed-dev  ## the test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-wheel: .venv/installed-dev  ## builds the wheel and uses it in an environment of its own
	$(BIN)/python -m pytest .ci/test_wheel.py

examples: .venv/installed  ## draws the example photos and makes their outputs anew
	$(RUN) examples/make_examples.py
	$(RUN) inference.py --example_image examples/example1.jpg --category upper_body --output_dir examples/outputs
	$(RUN) inference.py --example_image examples/example2.jpg --category lower_body --output_dir examples/outputs
	$(RUN) inference.py --example_image examples/example3.jpg --category dresses --output_dir examples/outputs
	rm examples/outputs/run.json

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
		--out_dir $(DATA_DEMO)/masks --model builtin
	$(RUN) precompute_utils/captioning_qwen.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd --phase test \
		--filename $(DATA_DEMO)/captions --pretrained_model_name_or_path builtin
	$(RUN) precompute_utils/precompute_text_features.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd \
		--phase test --coarse_caption_file $(DATA_DEMO)/captions_person_0_2.json \
		--output_dir $(DATA_DEMO)/text_features
	$(RUN) precompute_utils/precompute_image_features.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd \
		--phase test --output_dir $(DATA_DEMO)/image_features
	$(RUN) inference_dataset.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd \
		--output_dir $(DATA_DEMO)/pictures_vitonhd --mask_dir $(DATA_DEMO)/masks \
		--text_features_dir $(DATA_DEMO)/text_features --image_features_dir $(DATA_DEMO)/image_features
	$(RUN) evaluate.py --dataset_name vitonhd --dataset_root $(DATA_DEMO)/vitonhd \
		--pred_dir $(DATA_DEMO)/pictures_vitonhd

TRAIN_DEMO := outputs/train-demo
TRAIN_FLAGS := --from_scratch --pretrained_model_name_or_path builtin --dataset_root $(TRAIN_DEMO)/people \
	--caption_file $(TRAIN_DEMO)/people/truth/train.json $(TRAIN_DEMO)/people/truth/test.json \
	--cache_dir $(TRAIN_DEMO)/encoded --max_train_steps 200 --learning_rate 2e-3 --train_batch_size 8 \
	--lr_warmup_steps 20 --ema_decay 0.97 --validation_steps 100 --resume_from_checkpoint latest

train-demo: .venv/installed  ## both training stages on drawn people, within ten minutes; see docs/training.md
	$(RUN) -m drawn_people --layout dresscode --train 100 --test 10 --seed 7 --output $(TRAIN_DEMO)/people
	$(RUN) train.py --stage extractor $(TRAIN_FLAGS) --output_dir $(TRAIN_DEMO)/extractor
	$(RUN) train.py --stage generator $(TRAIN_FLAGS) --output_dir $(TRAIN_DEMO)/generator \
		--pretrained_extractor_name_or_path $(TRAIN_DEMO)/extractor \
		--align_weight 0.5 --align_model temu_vtoff/builtin/tryoff/image_encoder_large --align_block 3

BUILTIN_RUNS := runs
BUILTIN_DATA := --data_root $(BUILTIN_RUNS)/drawn --resume
JOINT := --stage joint --pretrained_model_name_or_path $(BUILTIN_RUNS)/frozen --correct_clip_input --shift 2 \
	--num_validation_images 12 --save_dtype fp16 --resume_from_checkpoint latest
TOLD := --dataset_root $(BUILTIN_RUNS)/drawn --cache_dir $(BUILTIN_RUNS)/encoded \
	--caption_file $(BUILTIN_RUNS)/drawn/truth/train.json $(BUILTIN_RUNS)/drawn/truth/test.json
SEEN := --dataset_root $(BUILTIN_RUNS)/strangers --cache_dir $(BUILTIN_RUNS)/encoded_strangers \
	--caption_file $(BUILTIN_RUNS)/captions_person_0_2.json --mask_dir $(BUILTIN_RUNS)/masks
TEXTURES := --align_weight 0.25 --align_model $(BUILTIN_RUNS)/frozen/image_encoder_large --align_block 3 \
	--caption_dropout 0.5 --logit_mean 0.3 --logit_std 1.4 --regress_weight 0.3
LAST := $(TEXTURES) --optimizer muon --learning_rate 1.2e-3 --lr_scheduler trapezoid --lr_warmup_steps 60 \
	--ema_decay 0.995 --random_flip --cache_dir $(BUILTIN_RUNS)/encoded_mirrored \
	--correspondence_weight 0.1 --correspondence_dir $(BUILTIN_RUNS)/strangers/truth/correspondences
MEASURE := $(RUN) -m builtin_training.measure --count 300 --pattern_classifier $(BUILTIN_RUNS)/pattern_classifier

# $(call meet_strangers,SEGMENTER,CAPTIONER): people whom neither has met, with the masks and captions that they give them
define meet_strangers
$(RUN) -m drawn_people --layout dresscode --train 8000 --test 100 --seed 58 --plain 0.3 --correspondences \
	--output $(BUILTIN_RUNS)/strangers
@echo "Garments that the segmenter doesn't find, one in a thousand, keep their true masks:"
-$(RUN) SegCloth.py --dataset_name dresscode --dataset_root $(BUILTIN_RUNS)/strangers --out_dir $(BUILTIN_RUNS)/masks \
	--model $(1)
$(RUN) precompute_utils/captioning_qwen.py --dataset_name dresscode --dataset_root $(BUILTIN_RUNS)/strangers \
	--filename $(BUILTIN_RUNS)/captions --temperatures 0.2 --batch_size 16 --pretrained_model_name_or_path $(2)
endef

builtin: .venv/installed  ## makes the built-in model anew from seeds: hours; interrupted, it goes on where it was
	$(RUN) -m drawn_people --layout dresscode --train 10000 --test 100 --seed 31 --output $(BUILTIN_RUNS)/drawn
	$(RUN) -m builtin_training.train_vae $(BUILTIN_DATA) --output_dir $(BUILTIN_RUNS)/vae --warmup_steps 50
	$(RUN) -m builtin_training.train_encoders $(BUILTIN_DATA) --output_dir $(BUILTIN_RUNS)/encoders
	$(RUN) -m builtin_training.train_segmenter $(BUILTIN_DATA) --output_dir $(BUILTIN_RUNS)/segmenter --warmup_steps 50
	$(RUN) -m builtin_training.train_captioner $(BUILTIN_DATA) --output_dir $(BUILTIN_RUNS)/captioner_start
	$(RUN) -m builtin_training.train_captioner $(BUILTIN_DATA) --captioner $(BUILTIN_RUNS)/captioner_start/captioner \
		--output_dir $(BUILTIN_RUNS)/captioner --optimizer muon --steps 5000 --looking_only 0.05 --ema_decay 0.995
	mkdir -p $(BUILTIN_RUNS)/frozen && cp -r $(BUILTIN_RUNS)/vae/vae $(BUILTIN_RUNS)/encoders/*/ \
		temu_vtoff/builtin/tryoff/scheduler $(BUILTIN_RUNS)/frozen/
	$(RUN) train.py $(JOINT) $(TOLD) --from_scratch \
		--output_dir $(BUILTIN_RUNS)/joint_start --caption_dropout 0.6 --max_train_steps 7800 --learning_rate 2e-3
	$(call meet_strangers,$(BUILTIN_RUNS)/segmenter/segmenter,$(BUILTIN_RUNS)/captioner/captioner)
	$(RUN) train.py $(JOINT) $(SEEN) --pretrained_model_name_or_path_sd3_tryoff $(BUILTIN_RUNS)/joint_start \
		--output_dir $(BUILTIN_RUNS)/joint_outlines --caption_dropout 0.6 --max_train_steps 4500 \
		--learning_rate 1.5e-3 --lr_warmup_steps 100 --logit_mean 1 --logit_std 1.4 --regress_weight 0.5 --ema_decay 0.998
	$(RUN) train.py $(JOINT) $(SEEN) --pretrained_model_name_or_path_sd3_tryoff $(BUILTIN_RUNS)/joint_outlines \
		$(TEXTURES) --output_dir $(BUILTIN_RUNS)/joint_textures --max_train_steps 4000 \
		--learning_rate 1.5e-3 --lr_warmup_steps 50 --ema_decay 0.998
	$(RUN) train.py $(JOINT) $(SEEN) --pretrained_model_name_or_path_sd3_tryoff $(BUILTIN_RUNS)/joint_textures \
		$(LAST) --output_dir $(BUILTIN_RUNS)/joint_last --max_train_steps 29000
	$(RUN) -m builtin_training.assemble --runs $(BUILTIN_RUNS) --transformers $(BUILTIN_RUNS)/joint_last
	$(RUN) -m builtin_training.train_pattern_classifier $(BUILTIN_DATA) --output_dir $(BUILTIN_RUNS)/pattern_classifier
	$(MEASURE) --output_dir $(BUILTIN_RUNS)/measure \
		--variants full no_caption other_photo no_reference no_fine_mask published_guidance cut_out through_vae

builtin-finer: .venv/installed  ## the shipped built-in model trained further, with smaller patches; see its README
	$(call meet_strangers,builtin,builtin)
	$(RUN) train.py $(JOINT) $(SEEN) $(LAST) --pretrained_model_name_or_path builtin \
		--pretrained_model_name_or_path_sd3_tryoff builtin --align_model temu_vtoff/builtin/tryoff/image_encoder_large \
		--patch_size 1 --output_dir $(BUILTIN_RUNS)/finer --max_train_steps 7900
	$(RUN) -m builtin_training.train_pattern_classifier --data_root $(BUILTIN_RUNS)/strangers --resume \
		--output_dir $(BUILTIN_RUNS)/pattern_classifier
	$(MEASURE) --output_dir $(BUILTIN_RUNS)/measure_finer --pretrained_model_name_or_path_sd3_tryoff $(BUILTIN_RUNS)/finer

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
