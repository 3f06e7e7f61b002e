"""What shape is the garment? One sentence on its cut, never on its colours.

python examples/caption.py examples/example1.jpg upper_body
"""

import sys

from temu_vtoff import Captioner
from temu_vtoff.pictures import open_picture

photo, category = sys.argv[1:] if len(sys.argv) == 3 else ("examples/example1.jpg", "upper_body")
captioner = Captioner.from_pretrained("builtin")  # for photographs: "Qwen/Qwen2.5-VL-3B-Instruct"
print(captioner(open_picture(photo), category)[0])
