"""Methods of Stable Diffusion 3's pipeline that this pipeline does not support. They raise one sentence, instead of
crashing or silently ignoring the person.
"""

from typing import Any, NoReturn

_ADAPTERS = "this pipeline reads the person through its feature extractor and has no IP adapter"


class RefusedDoors:
    """Mixed in before `StableDiffusion3Pipeline`."""

    def load_ip_adapter(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not available."""
        raise ValueError(f"load_ip_adapter() is not available: {_ADAPTERS}.")

    def set_ip_adapter_scale(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not available."""
        raise ValueError(f"set_ip_adapter_scale() is not available: {_ADAPTERS}.")

    def prepare_ip_adapter_image_embeds(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not available."""
        raise ValueError(f"prepare_ip_adapter_image_embeds() is not available: {_ADAPTERS}.")

    @classmethod
    def from_single_file(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Not available."""
        raise ValueError(
            "from_single_file() is not available: a single file holds one transformer, and this pipeline has two; give "
            "from_pretrained() folders in diffusers' layout."
        )
