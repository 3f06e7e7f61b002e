"""Where is the garment? Its mask, and the photo with it greyed out.

python examples/segment.py examples/example1.jpg upper_body
"""

import sys
from pathlib import Path

from temu_vtoff import segment_clothing

photo, category = sys.argv[1:] if len(sys.argv) == 3 else ("examples/example1.jpg", "upper_body")
mask, masked_image = segment_clothing(photo, category=category, model="builtin")  # without model: for photographs

folder = Path("outputs")
folder.mkdir(exist_ok=True)
mask.save(folder / "segment_mask.png")
masked_image.save(folder / "segment_masked_image.png")
print(f"The garment covers {sum(mask.histogram()[1:]) / (mask.width * mask.height):.0%} of the photo; see {folder}/.")
