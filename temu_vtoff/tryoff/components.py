"""Names of the pipeline's components and of its configuration values, stated once."""

from temu_vtoff.hub.sources import IMAGE_ENCODERS, TRYOFF

TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
TEXT_PARTS = (*TEXT_ENCODERS, "tokenizer", "tokenizer_2", "tokenizer_3")
IMAGE_PARTS = (*IMAGE_ENCODERS, "feature_extractor")
BASE = ("vae", "scheduler", *TEXT_PARTS)  # components of the published base model
COMPONENTS = (*BASE, *TRYOFF, *IMAGE_PARTS)
CONFIG = {"rescale_clip_input_twice": True, "negative_reference": True}  # the published model's values
