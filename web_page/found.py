"""What is found in a photo: a garment of a person, or what is repainted of them, and what is to be said about it."""

from dataclasses import dataclass

from PIL import Image

from web_page.messages import GARMENT_WORDS, in_words, sentence


@dataclass(frozen=True)
class Found:
    """A garment in a photo.

    Attributes:
        mask: L, 0 or 255, of the photo's size.
        instead: Labels of the segmenter that serve in place of the absent garment's own; usually none.
        warnings: About the photo.
        people: How many people the photo shows.
        person: Which one this is, from left to right, from 1.
    """

    category: str
    mask: Image.Image
    instead: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    people: int = 1
    person: int = 1

    @property
    def remarks(self) -> list[str]:
        """What visitors should know, in sentences."""
        said = [sentence(warning) for warning in self.warnings]
        if self.instead:
            absent = GARMENT_WORDS[self.category]
            said.insert(0, f"No {absent} was found: {in_words(self.instead)} is taken instead.")
        if self.people > 1:
            said.insert(0, f"The photo shows {self.people} people: number {self.person} from the left is taken.")
        return said
