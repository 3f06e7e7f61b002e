"""The words that ask an image-editing model for a product picture, or for a garment put on a person."""

import string

from temu_vtoff.errors import ArgumentError

# Only what is there is named: a garment that a prompt names is drawn, seen or not.
TEMPLATE = (
    "Make a product photo of the {garment} that this person wears: the garment alone, whole, seen from the front, laid "
    "flat, centered on a plain white background. Keep its colors, pattern, print, material and details exactly as they "
    "are. No person, no mannequin, no hanger, no other clothes."
)
SHAPE = " The garment is {caption}."  # only where there is a caption
TRYON_TEMPLATE = (
    "The person of the first picture wears the garment of the second picture instead of their own. Keep the garment's "
    "colors, pattern, print and details, and the person's face, hair, body, pose, other clothes and background exactly "
    "as they are."
)
_GARMENTS = {
    "upper_body": "upper-body garment",
    "lower_body": "lower-body garment",
    "dresses": "dress",
    "outer": "outer garment",
    "inner": "garment under the open jacket or coat",
}
_FIELDS = ("garment", "caption")


def garment_words(category: str) -> str:
    """The garment's name in a prompt."""
    return _GARMENTS.get(category, category.replace("_", " "))


def check_template(template: str) -> None:
    """
    Raises:
        ArgumentError: Braces that don't match, or a field that is none of the prompt's.
    """
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ArgumentError(f"{{prompt_template}} has an error in its braces: {error}.", "prompt_template") from error
    if fields - {*_FIELDS}:
        known = " and ".join(f"{{{name}}}" for name in _FIELDS)
        raise ArgumentError(
            f"{{prompt_template}} has the fields {', '.join(sorted(fields)) or 'none'}; there are {known}.",
            "prompt_template",
        )
    if not template.strip():
        raise ArgumentError("{prompt_template} is empty; leave it out for the default.", "prompt_template")


def product_prompt(category: str, caption: str = "", template: str | None = None) -> str:
    """The prompt for a garment.

    Args:
        category: Category of the garment.
        caption: One line on its shape; may be empty.
        template: Replaces the default; "{garment}" and "{caption}" stand for the two.
    """
    if template is None:
        template = TEMPLATE + (SHAPE if caption else "")
    return template.format(garment=garment_words(category), caption=caption)


def tryon_prompt(template: str | None = None) -> str:
    """The prompt for a person, the first picture, and a garment, the second; a template has no fields to fill in."""
    return TRYON_TEMPLATE if template is None else template
