"""All three steps: the garments of a photo, a caption of each, a product picture of each.

python examples/try_off.py examples/example1.jpg
"""

import sys
from pathlib import Path

from temu_vtoff import Options, TryOff

photo = sys.argv[1] if len(sys.argv) == 2 else "examples/example1.jpg"
toolkit = TryOff(Options(tryoff="builtin"))  # for photographs: Options(tryoff="davidelobba/TEMU-VTOFF")

folder = Path("outputs")
folder.mkdir(exist_ok=True)
for product in toolkit(photo, category="all"):
    if product.error is not None:
        print(product.error)
        continue
    path = folder / f"{product.garment.name}.png"
    product.images[0].save(path)
    print(f"{path}: {product.garment.caption}")
