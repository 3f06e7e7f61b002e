"""Where the garments are: SegFormer label maps of dressed people, and what becomes of them as masks."""

# The 18 classes of the ATR set, as SegFormer clothes and DressCode's label maps count them.
LABELS = (
    "Background", "Hat", "Hair", "Sunglasses", "Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Left-shoe",
    "Right-shoe", "Face", "Left-leg", "Right-leg", "Left-arm", "Right-arm", "Bag", "Scarf",
)  # fmt: skip
