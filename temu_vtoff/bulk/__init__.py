"""Millions of photos through the stages on Ray Data: storage in, actor pools, storage out; needs the extra `ray`."""

STAGES = ("segment", "caption", "try_off", "try_on", "finish")
INPUT_KINDS = ("folder", "parquet", "webdataset", "dresscode", "vitonhd")
OUTPUT_KINDS = ("parquet", "webdataset", "folder")
CAPTION_ENGINES = ("transformers", "vllm")
