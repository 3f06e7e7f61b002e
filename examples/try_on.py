"""Garment transfer: what the second person wears is taken off, and put on the first.

python examples/try_on.py
python examples/try_on.py BoyuanJiang/FitDiT person.jpg other.jpg
"""

import sys
from pathlib import Path

from temu_vtoff import TryOn, TryOnOptions

model, *photos = sys.argv[1:] or ["builtin"]
person, other = photos or ("examples/example1.jpg", "examples/example2.jpg")
toolkit = TryOn(TryOnOptions(tryon=model))  # a published model brings the published try-off weights

garments = toolkit.take_off(other, category="upper_body")
persons = toolkit.prepare(person, category="upper_body")
folder = Path("outputs")
folder.mkdir(exist_ok=True)
for result in toolkit.generate(persons, garments):
    if result.error is not None:
        print(result.error)
        continue
    path = folder / f"{result.pair.name}.png"
    result.images[0].save(path)
    result.panel().save(folder / f"{result.pair.name}_panel.png")
    print(path)
