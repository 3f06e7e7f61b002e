"""Only the last step, as a diffusers pipeline: a photo, a mask and a caption in, the product picture out.

python examples/pipeline.py
"""

from pathlib import Path

import torch
from PIL import Image

from temu_vtoff import TryOffPipeline

# For photographs: TryOffPipeline.from_pretrained("stabilityai/stable-diffusion-3-medium-diffusers",
#                                                "davidelobba/TEMU-VTOFF", torch_dtype=torch.bfloat16).to("cuda")
pipe = TryOffPipeline.from_pretrained("builtin")

examples = Path(__file__).parent
photo = Image.open(examples / "example1.jpg")
mask = Image.open(examples / "outputs" / "example1_binary_mask.png")
caption = (examples / "outputs" / "example1_caption.txt").read_text().strip()
product = pipe(photo, mask=mask, prompt=caption, generator=torch.Generator().manual_seed(0)).images[0]

folder = Path("outputs")
folder.mkdir(exist_ok=True)
product.save(folder / "pipeline.png")
print(f"{caption}: see {folder / 'pipeline.png'}.")
