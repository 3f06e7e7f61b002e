"""The models behind the page: one copy of the three stages and of try-on for all visitors, used by one at a time."""

import threading
from dataclasses import dataclass, field

from PIL import Image

from temu_vtoff.finishing import Finish
from temu_vtoff.hub.sizes import WorkingSize
from temu_vtoff.pictures import unfit_mask
from temu_vtoff.segmentation.categories import TRYOFF_CATEGORIES
from temu_vtoff.stages import Garment, Options, Product, TryOff, TryOnOptions
from temu_vtoff.stages.selection import Selection
from temu_vtoff.tryoff.presets import GUIDANCE_SCALE, choose_preset
from temu_vtoff.tryoff.watching import OnStep, watcher
from web_page.fitting_room import FittingRoom
from web_page.found import Found

SIZE_FACTORS = (0.5, 0.75, 1, 1.25, 1.5)  # of the model's own size


@dataclass(frozen=True)
class Settings:
    """How product pictures are made.

    Attributes:
        seed: The first picture's, the next ones count on from it.
        best_first: Puts several pictures in the order of their quality.
        finish: What becomes of them.
    """

    width: int
    height: int
    steps: int = 28
    guidance: float = GUIDANCE_SCALE
    seed: int = 0
    count: int = 1
    fit: str = Options.resize_mode
    best_first: bool = False
    finish: Finish = field(default_factory=Finish)


class Models:
    """The three stages, loaded once, and try-on.

    Args:
        options: As the page was started; visitors choose size and sampling themselves.
        tryon: As the page was started; None when there is no try-on model.

    Attributes:
        fitting_room: Try-on, or None.

    Raises:
        CheckpointError: A model can't be had.
        ArgumentError: What is asked for can't be had on this machine.
    """

    def __init__(self, options: Options, tryon: TryOnOptions | None = None) -> None:
        self.toolkit = TryOff(options, keep_loaded=True)
        self.toolkit.pipeline(), self.toolkit.segmenter(), self.toolkit.captioner()
        self._lock = threading.Lock()
        self.fitting_room = None if tryon is None else FittingRoom(tryon, self._lock)

    @property
    def is_builtin(self) -> bool:
        """Whether the try-off model is the built-in one, which knows drawn people only."""
        return self.toolkit.options.sources.is_builtin

    @property
    def steps(self) -> int:
        """How many steps are taken where nothing else is chosen."""
        steps = self.toolkit.options.num_inference_steps
        return choose_preset(self.toolkit.options.preset).steps if steps is None else steps

    @property
    def own_size(self) -> WorkingSize:
        """The size that the try-off model was made for."""
        return self.toolkit.pipeline().working_size

    @property
    def own_size_name(self) -> str:
        """`own_size` as "WIDTHxHEIGHT"."""
        return f"{self.own_size.width}x{self.own_size.height}"

    @property
    def categories(self) -> list[str]:
        """The garments that the segmenter's labels tell."""
        labels = self.toolkit.segmenter().labels
        return [name for name in TRYOFF_CATEGORIES if labels.tell(name)]

    def sizes(self) -> list[tuple[int, int]]:
        """Widths and heights to offer: of the model's own shape, and not larger than its position embedding."""
        own = self.own_size
        wanted = [(round(own.width * factor), round(own.height * factor)) for factor in SIZE_FACTORS]
        return [size for size in wanted if max(size) <= own.largest and not any(side % own.multiple for side in size)]

    def words_read(self, caption: str) -> int | None:
        """How many of a caption's words the try-off model reads; None when it reads all."""
        pipe, counts = self.toolkit.pipeline(), []
        most = pipe.tokenizer_max_length
        for tokenizer in filter(None, (pipe.tokenizer, pipe.tokenizer_2, pipe.tokenizer_3)):
            ids = tokenizer(caption, verbose=False).input_ids
            if len(ids) > most:
                kept = tokenizer(caption, max_length=most, truncation=True).input_ids
                counts.append(len(tokenizer.decode(kept, skip_special_tokens=True).split()))
        return min(counts, default=None)

    def segment(self, photo: Image.Image, category: str, person: int | None = None) -> list[Found]:
        """The garments of a category, or of all that are found with "all"; at least one.

        Args:
            person: Whose, from left to right, from 1; the largest person's when left out.

        Raises:
            GarmentNotFoundError: There is none.
            ArgumentError: Fewer people.
        """
        with self._lock:
            garments = [_sound(garment) for garment in self.toolkit.segment([photo], category, person=person)]
        return [self._found(garment, photo) for garment in garments]

    def _found(self, garment: Garment, photo: Image.Image) -> Found:
        labels = self.toolkit.segmenter().labels
        own = labels.name_all(labels.of_category(garment.category))
        return Found(
            garment.category,
            unfit_mask(garment.mask, photo.size),
            instead=() if set(garment.labels) <= set(own) else garment.labels,
            warnings=tuple(garment.warnings),
            people=garment.people,
            person=garment.person,
        )

    def caption(self, photo: Image.Image, category: str) -> str:
        """The garment's shape in words."""
        garment = Garment(photo, category)
        with self._lock:
            self.toolkit.caption([garment])
        return _sound(garment).caption

    def try_off(self, garment: Garment, settings: Settings, on_step: OnStep) -> Product:
        """The product pictures, and photo and mask as the model saw them.

        Args:
            garment: With a mask and a caption.
            on_step: Called with the steps done, the steps there are and, now and then, how the first picture looks by
                then; when it answers False the work ends early, with pictures of no use.
        """
        # Where models are moved to and from a GPU's memory, each preview would move two of them.
        previews = self.toolkit.taken["offload"] == "none"
        with self._lock:
            (product,) = self.toolkit.generate(
                [garment],
                seed=settings.seed,
                num_images=settings.count,
                selection=Selection(keep=settings.count) if settings.best_first else None,
                callback_on_step_end=watcher(on_step, settings.steps, previews),
                width=settings.width,
                height=settings.height,
                resize_mode=settings.fit,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
            )
        _sound(garment)
        return product

    def rest(self, seconds: float) -> bool:
        """Waits until no model is at work, and lets none work from then on; whether that came about in time."""
        return self._lock.acquire(timeout=seconds)


def _sound(garment: Garment) -> Garment:
    """
    Raises:
        Exception: Why the garment can't be served.
    """
    if garment.error is not None:
        raise garment.error
    return garment
