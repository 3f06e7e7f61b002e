"""Devices, precision, offloading, quantisation and kernels. The choices are defined here, without heavy imports."""

PRECISIONS = ("no", "fp16", "bf16")  # as accelerate names them; "no" is float32
OFFLOADS = ("auto", "none", "model", "sequential")
ATTENTION_BACKENDS = {  # our name -> diffusers' name (for onednn: the backend for tensors that `cpu.attend` refuses)
    "flash3": "_flash_3",
    "flash2": "flash",
    "cudnn": "_native_cudnn",
    "native": "native",
    "onednn": "native",
}
QUANTIZED_BITS = (8, 4)
