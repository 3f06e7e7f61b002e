"""The two attentions of TEMU-VTOFF (arXiv 2505.21062, section 3.2), softmax(Q K^T / sqrt(d)) V: the extractor's, which
hands out its keys and values, and the generator's multimodal hybrid attention, which reads them.

Letters: B batch, N image tokens, T text tokens, R reference tokens, D width, H heads, d head size (D = H d).
"""

from collections.abc import Callable, Iterator

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.attention_processor import Attention

Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor | None]


class _DispatchedAttnProcessor:
    """Stateless but for kernel and backend; one object serves every block.

    `Attention.forward` hands every processor an `encoder_hidden_states` and an `attention_mask`; where SD3 has none,
    they are None.

    Attributes:
        kernel: Called before diffusers' backends, with their layout; returns None for tensors that it does not support.
    """

    kernel: Kernel | None = None
    _attention_backend = None  # set by diffusers' `ModelMixin.set_attention_backend`
    _parallel_config = None

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """softmax(Q K^T / sqrt(d)) V: (B, N, H, d), 2 x (B, M, H, d) -> (B, N, D)."""
        attended = self.kernel(query, key, value) if self.kernel is not None else None
        if attended is None:
            attended = dispatch_attention_fn(
                query, key, value, backend=self._attention_backend, parallel_config=self._parallel_config
            )  # (B, N, H, d)
        return attended.flatten(2).to(query.dtype)


class ReferenceAttnProcessor(_DispatchedAttnProcessor):
    """Self-attention that returns, beside its output, the keys and values as they leave `to_k` and `to_v`."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Args:
            hidden_states: (B, N, D), after AdaLN.

        Returns:
            Output, keys, values: each (B, N, D); keys and values before the head split.
        """
        key, value = attn.to_k(hidden_states), attn.to_v(hidden_states)  # (B, N, D)
        attended = self.attend(*(split_heads(x, attn.heads) for x in (attn.to_q(hidden_states), key, value)))
        return attn.to_out[0](attended), key, value


class HybridAttnProcessor(_DispatchedAttnProcessor):
    """Multimodal hybrid attention: Q = [image, text], K and V = [image, reference, text].

    Without a reference it is SD3's joint attention, without text FitDiT's: Q = image, K = [image, reference]. Where a
    checkpoint has QK-norms (the published ones have none), the reference keys pass through the image stream's.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: None = None,
        reference_key: torch.Tensor | None = None,
        reference_value: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            hidden_states: (B, N, D), the image stream after AdaLN.
            encoder_hidden_states: (B, T, D), the text stream after AdaLN; None where there is none.
            reference_key, reference_value: (B, R, D), this block's, in any precision; both or neither.

        Returns:
            Image stream (B, N, D), and text stream (B, T, D) or None.
        """
        image_tokens = hidden_states.shape[1]

        def projected(x: torch.Tensor, *layers: torch.nn.Module) -> Iterator[torch.Tensor]:
            return (split_heads(layer(x), attn.heads) for layer in layers)

        query, key, value = projected(hidden_states, attn.to_q, attn.to_k, attn.to_v)  # (B, N, H, d)
        queries, keys, values = [query], [key], [value]
        if reference_key is not None:
            keys.append(split_heads(reference_key.to(key.dtype), attn.heads))  # (B, R, H, d)
            values.append(split_heads(reference_value.to(value.dtype), attn.heads))
        if attn.norm_q is not None:
            queries, keys = [attn.norm_q(query)], [attn.norm_k(x) for x in keys]
        if encoder_hidden_states is not None:
            text_query, text_key, text_value = projected(
                encoder_hidden_states, attn.add_q_proj, attn.add_k_proj, attn.add_v_proj
            )  # (B, T, H, d)
            if attn.norm_added_q is not None:
                text_query, text_key = attn.norm_added_q(text_query), attn.norm_added_k(text_key)
            queries, keys, values = [*queries, text_query], [*keys, text_key], [*values, text_value]

        # Buffers in which the reference stands ready would spare half of this copying, below 1% of a step on the CPU,
        # and double the memory that the reference takes.
        attended = self.attend(
            torch.cat(queries, dim=1),  # (B, N + T, H, d)
            torch.cat(keys, dim=1),  # (B, N + R + T, H, d)
            torch.cat(values, dim=1),
        )
        image = attn.to_out[0](attended[:, :image_tokens])
        if encoder_hidden_states is None:
            return image, None
        text = attended[:, image_tokens:]
        return image, text if attn.context_pre_only else attn.to_add_out(text)


class HybridAttentionMixin:
    """Refuses what would replace hybrid attention: diffusers' processors accept a reference and ignore it."""

    def set_attn_processor(self, processor: HybridAttnProcessor | dict[str, HybridAttnProcessor]) -> None:
        """Sets the processor of all blocks, or of each by name.

        Raises:
            ValueError: One that would ignore the reference.
        """
        for given in processor.values() if isinstance(processor, dict) else [processor]:
            if not isinstance(given, HybridAttnProcessor):
                raise ValueError(
                    f"{type(given).__name__} would ignore the reference: give a HybridAttnProcessor, and choose "
                    "kernels by set_attention_backend()."
                )
        super().set_attn_processor(processor)

    def fuse_qkv_projections(self) -> None:
        """Not available: diffusers' fused processor would silently drop the reference."""
        raise ValueError("fuse_qkv_projections() is not available here: its attention would ignore the reference.")


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, N, D) -> (B, N, H, d), the layout of diffusers' attention backends."""
    return x.unflatten(-1, (heads, -1))
