"""Trains the parts of the built-in small model from scratch, on drawn people; see `temu_vtoff/builtin/README.md`.

Each part is a script: `python -m builtin_training.train_vae --dataset_root ... --output_dir ...`, and so on; the
recipes are in `configs/builtin/`. All train by the loop of `temu_vtoff.training`.
"""
