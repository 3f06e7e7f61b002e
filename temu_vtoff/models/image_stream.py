"""SD3 transformers with only the image stream: their layers before the blocks, and the parts of published checkpoints
that they leave out."""

from diffusers.models.embeddings import CombinedTimestepTextProjEmbeddings, PatchEmbed

# Weights of the context stream, which has no input. Published folders hold some or all of them.
CONTEXT_WEIGHTS = (
    r"context_embedder\.",
    r"transformer_blocks\.\d+\.(norm1_context|ff_context)\.",
    r"transformer_blocks\.\d+\.attn\.(to_add_out|add_[qkv]_proj|norm_added_[qk])\.",
)
CONTEXT_CONFIG = ("joint_attention_dim", "caption_projection_dim", "dual_attention_layers", "qk_norm")


class ImageStreamMixin:
    """Mixed in before diffusers' `ConfigMixin`: reads the configuration of an SD3 transformer."""

    def _add_embeddings(self) -> int:
        """Adds the layers before the blocks, as the configuration says; returns the width D."""
        config = self.config
        dim = config.num_attention_heads * config.attention_head_dim
        self.pos_embed = PatchEmbed(
            height=config.sample_size,
            width=config.sample_size,
            patch_size=config.patch_size,
            in_channels=config.in_channels,
            embed_dim=dim,
            pos_embed_max_size=config.pos_embed_max_size,
        )
        self.time_text_embed = CombinedTimestepTextProjEmbeddings(dim, config.pooled_projection_dim)
        return dim

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
