"""SD3 transformers with only the image stream: the parts of published checkpoints that they leave out."""

# Weights of the context stream, which has no input. Published folders hold some or all of them.
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
        """Leaves out the values of the published configuration that concern parts this model doesn't have."""
        names = cls._get_init_keys(cls)
        needed = {
            name: value
            for name, value in config_dict.items()
            if name not in CONTEXT_CONFIG and (name != "out_channels" or name in names)
        }
        return super().extract_init_dict(needed, **kwargs)
