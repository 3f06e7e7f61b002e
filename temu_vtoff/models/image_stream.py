"""SD3 transformers of which only the image stream is used: what their published checkpoints hold besides."""

# Weights of the context stream, which has no input. Published folders differ in which of them they hold.
CONTEXT_WEIGHTS = (
    r"context_embedder\.",
    r"transformer_blocks\.\d+\.(norm1_context|ff_context)\.",
    r"transformer_blocks\.\d+\.attn\.(to_add_out|add_[qkv]_proj|norm_added_[qk])\.",
)
CONTEXT_CONFIG = ("joint_attention_dim", "caption_projection_dim", "dual_attention_layers", "qk_norm")


class ImageStreamMixin:
    """Mixed in before diffusers' `ConfigMixin`: reads the configuration of an SD3 transformer."""

    @classmethod
    def extract_init_dict(cls, config_dict, **kwargs):
        """Leaves out what the published configuration says of the text stream, and what this model doesn't have."""
        names = cls._get_init_keys(cls)
        needed = {
            name: value
            for name, value in config_dict.items()
            if name not in CONTEXT_CONFIG and (name != "out_channels" or name in names)
        }
        return super().extract_init_dict(needed, **kwargs)
