"""Draws the example photos; `make examples` then runs inference.py on them.

python examples/make_examples.py
"""

from pathlib import Path

from drawn_people import draw_person
from temu_vtoff.pictures import save_picture

PEOPLE = {  # from seeds that no training used
    "example1.jpg": (10**15 + 5004, "upper_body"),
    "example2.jpg": (10**15 + 5001, "lower_body"),
    "example3.jpg": (10**15 + 5001, "dresses"),
}

for name, (seed, category) in PEOPLE.items():
    photo = draw_person(seed, category, 384, 512).photo
    print(save_picture(photo, Path(__file__).parent / name, quality=92, subsampling=0))
