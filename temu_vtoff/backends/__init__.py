"""Other weights behind the same door: diffusers' image-editing pipelines, mostly with a try-off adapter (LoRA)."""
