"""Devices, precision, offloading, quantisation and kernels. The choices stand here, where they cost no import."""

PRECISIONS = ("no", "fp16", "bf16")  # as accelerate names them; "no" is float32
OFFLOADS = ("auto", "none", "model", "sequential")
ATTENTION_BACKENDS = {  # our names -> diffusers' (for onednn, what runs where `cpu.attend` doesn't)
    "flash3": "_flash_3",
    "flash2": "flash",
    "cudnn": "_native_cudnn",
    "native": "native",
    "onednn": "native",
}
QUANTIZED_BITS = (8, 4)
