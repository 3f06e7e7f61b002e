"""Tiny image-editing pipelines with random weights, written as `save_pretrained` writes them, one for each back end."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from transformers import (
    AutoProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
)

from builtin_training.tokenizers_from_text import clip_tokenizer, t5_tokenizer
from temu_vtoff.backends.prompt import SHAPE, TEMPLATE
from temu_vtoff.builtin import resolve
from tests.tiny_training import tiny_vae

SIZE = (64, 96)
BLOCKS = 2  # resolutions of the tiny Flux VAEs
WORDS = [TEMPLATE, SHAPE]


def save_tiny_klein(folder: Path, is_distilled: bool = True) -> Path:
    """Qwen3 has 28 layers, because the pipeline reads the 9th, 18th and 27th."""
    torch.manual_seed(0)
    tokenizer = AutoProcessor.from_pretrained(resolve("builtin", "captioner")).tokenizer
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    text = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=28,
            num_attention_heads=1,
            num_key_value_heads=1,
            head_dim=8,
            tie_word_embeddings=True,
        )
    )
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * BLOCKS,
        up_block_types=("UpDecoderBlock2D",) * BLOCKS,
        block_out_channels=(8,) * BLOCKS,
        layers_per_block=1,
        latent_channels=2,
        norm_num_groups=2,
        mid_block_add_attention=False,
    )
    transformer = Flux2Transformer2DModel(
        in_channels=8,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=24,
        timestep_guidance_channels=8,
        axes_dims_rope=(2, 2, 2, 2),
        guidance_embeds=False,
    )
    parts = {"text_encoder": text, "tokenizer": tokenizer, "transformer": transformer, "vae": vae}
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    Flux2KleinPipeline(scheduler=scheduler, **parts, is_distilled=is_distilled).save_pretrained(folder)
    return folder


def save_tiny_qwen_edit(folder: Path) -> Path:
    """The built-in captioner reads pictures and prompt."""
    torch.manual_seed(0)
    captioner = resolve("builtin", "captioner")
    text = Qwen2_5_VLForConditionalGeneration.from_pretrained(captioner, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(captioner)
    vae = AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=text.config.text_config.hidden_size,
        axes_dims_rope=(2, 2, 4),
    )
    parts = {"text_encoder": text, "tokenizer": processor.tokenizer, "transformer": transformer, "vae": vae}
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    QwenImageEditPlusPipeline(scheduler=scheduler, processor=processor, **parts).save_pretrained(folder)
    return folder


def save_tiny_kontext(folder: Path) -> Path:
    torch.manual_seed(0)
    clip, t5 = clip_tokenizer(WORDS), t5_tokenizer(WORDS)
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    ends = {"bos_token_id": clip.bos_token_id, "eos_token_id": clip.eos_token_id, "pad_token_id": clip.pad_token_id}
    text = CLIPTextModel(CLIPTextConfig(vocab_size=len(clip), max_position_embeddings=32, **shape, **ends))
    text_2 = T5EncoderModel(
        T5Config(
            vocab_size=len(t5), d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1, feed_forward_proj="gated-gelu"
        )
    )
    vae = tiny_vae((8,) * BLOCKS, norm_num_groups=2, scaling_factor=0.36, shift_factor=0.12)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        guidance_embeds=True,
        axes_dims_rope=(2, 2, 4),
    )
    parts = {"text_encoder": text, "tokenizer": clip, "text_encoder_2": text_2, "tokenizer_2": t5}
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    FluxKontextPipeline(scheduler=scheduler, vae=vae, transformer=transformer, **parts).save_pretrained(folder)
    return folder


def save_tiny_lora(pipe: object, folder: Path, seed: int = 0) -> Path:
    """Writes an adapter of a pipeline's transformer that changes its output strongly."""
    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=8, target_modules=["to_q", "to_v"], init_lora_weights=False)
    pipe.transformer.add_adapter(config)
    layers = get_peft_model_state_dict(pipe.transformer)
    pipe.save_lora_weights(folder, transformer_lora_layers=layers)
    pipe.transformer.delete_adapters("default")
    return folder


SAVERS = {"flux2-klein": save_tiny_klein, "qwen-image-edit": save_tiny_qwen_edit, "flux-kontext": save_tiny_kontext}
