"""Captions of a garment's shape: the prompt, Qwen2.5-VL, and servers that hold a model."""
