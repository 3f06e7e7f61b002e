"""Imports what scripts need, once, for all processes that are forked from the one that imports this module."""

import gc
from importlib import import_module

for module in (
    *("inference_dataset", "evaluate", "train", "temu_vtoff.training.loop"),
    *("temu_vtoff.runs.tryoff", "temu_vtoff.runs.tryon"),
    *("transformers.models.segformer.modeling_segformer", "transformers.models.segformer.image_processing_segformer"),
    *("transformers.models.qwen2_5_vl.modeling_qwen2_5_vl", "transformers.models.qwen2_5_vl.processing_qwen2_5_vl"),
):
    import_module(module)
gc.collect()
gc.freeze()  # half a million objects, which every collection would visit, and copy in a forked process
