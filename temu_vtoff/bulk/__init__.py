"""Millions of photos through the stages on Ray Data: storage in, actor pools, storage out; needs the extra `ray`."""

import os

# Else Ray lets quick stages run ahead of slow ones until half of its memory is full. Read when Ray Data is imported.
os.environ.setdefault("RAY_DATA_DOWNSTREAM_CAPACITY_OBJECT_STORE_BUDGET_UTIL_THRESHOLD", "0")

STAGES = ("segment", "caption", "try_off", "try_on", "finish")
INPUT_KINDS = ("folder", "parquet", "webdataset", "dresscode", "vitonhd")
OUTPUT_KINDS = ("parquet", "webdataset", "folder")
CAPTION_ENGINES = ("transformers", "vllm")
