"""The product picture, from a photo, a mask and a caption.

python examples/try_off.py
"""

from pathlib import Path

import torch
from PIL import Image

from SegCloth import segment_clothing
from temu_vtoff import TryOffPipeline

# For photographs: TryOffPipeline.from_pretrained("stabilityai/stable-diffusion-3-medium-diffusers",
#                                                "davidelobba/TEMU-VTOFF", torch_dtype=torch.bfloat16).to("cuda")
pipe = TryOffPipeline.from_pretrained("builtin")

photo = Image.open(Path(__file__).parent / "example1.jpg")
mask, _ = segment_clothing(photo, category="upper_body", model="builtin")
caption = (Path(__file__).parent / "outputs" / "example1_caption.txt").read_text().strip()
product = pipe(photo, mask=mask, prompt=caption, generator=torch.Generator().manual_seed(0)).images[0]

folder = Path("outputs")
folder.mkdir(exist_ok=True)
product.save(folder / "try_off.png")
print(f"{caption}: see {folder / 'try_off.png'}.")
