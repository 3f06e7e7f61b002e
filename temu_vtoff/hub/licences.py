"""Licences of the models that this toolkit names, for where the hub's own cards can't be read."""

LICENCES = {
    "stabilityai/stable-diffusion-3-medium-diffusers": "Stability AI Community License, accepted on the model's page",
    "davidelobba/TEMU-VTOFF": "CC BY-NC: no commercial use",
    "BoyuanJiang/FitDiT": "CC BY-NC-SA 4.0: no commercial use; access on request",
    "mattmdjaga/segformer_b2_clothes": "card: MIT; its base nvidia/mit-b2 is for research and evaluation only",
    "sayeed99/segformer-b3-fashion": "its base nvidia/mit-b3 is for research and evaluation only",
    "fashn-ai/fashn-human-parser": "NVIDIA Source Code License: research and evaluation only",
    "Qwen/Qwen2.5-VL-3B-Instruct": "Qwen Research License: no commercial use",
    "Qwen/Qwen2.5-VL-7B-Instruct": "Apache-2.0",
    "Qwen/Qwen3-VL-2B-Instruct": "Apache-2.0",
    "Qwen/Qwen3-VL-4B-Instruct": "Apache-2.0",
    "Qwen/Qwen3-VL-8B-Instruct": "Apache-2.0",
    "Qwen/Qwen-Image-Edit-2509": "Apache-2.0",
    "Qwen/Qwen-Image-Edit-2511": "Apache-2.0",
    "black-forest-labs/FLUX.2-klein-4B": "Apache-2.0",
    "black-forest-labs/FLUX.2-klein-base-4B": "Apache-2.0",
    "black-forest-labs/FLUX.2-klein-9B": "no commercial use; accepted on the model's page",
    "black-forest-labs/FLUX.2-klein-base-9B": "no commercial use; accepted on the model's page",
    "black-forest-labs/FLUX.1-Kontext-dev": "no commercial use; accepted on the model's page",
}
