"""Measures the speed of every stage and the quality of the presets; see docs/performance.md."""

from pathlib import Path

RESULTS = Path(__file__).parent / "results"  # rows by kind of measurement, <kind>.jsonl
SCALES = ("builtin", "sd3-reduced", "sd3-medium")  # see `scales.build`
STAGES = ("encode", "extract", "denoise", "decode", "write")  # of one call of the pipeline
