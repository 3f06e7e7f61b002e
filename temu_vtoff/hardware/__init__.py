"""Devices, precision, offloading, quantisation and kernels. The choices stand here, where they cost no import."""

PRECISIONS = ("no", "fp16", "bf16")  # as accelerate names them; "no" is float32
OFFLOADS = ("auto", "none", "model", "sequential")
ATTENTION_BACKENDS = ("flash3", "flash2", "cudnn", "native", "onednn")
QUANTIZED_BITS = (8, 4)
