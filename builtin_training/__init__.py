"""Trains the parts of the built-in small model, from scratch, on drawn people: `temu_vtoff/builtin/README.md` says how.

Each part is a script: `python -m builtin_training.train_vae --data_root ... --output_dir ...`, and so on. A step is a
function of the weights, the optimizer's state and its number only, so a resumed run repeats an uninterrupted one.
"""
