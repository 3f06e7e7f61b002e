"""The try-off pipeline: loading, conditioning, denoising, presets."""
