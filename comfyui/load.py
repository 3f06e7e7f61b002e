"""Load TEMU-VTOFF: which models, in which precision, from where."""

from __future__ import annotations

import logging

import comfy.model_management as model_management
from comfy_api.latest import io

from temu_vtoff.backends.registry import BACKENDS, EDITORS, TEMU_VTOFF
from temu_vtoff.hardware import OFFLOADS, PRECISIONS
from temu_vtoff.stages.options import Options
from temu_vtoff.tryoff.presets import PRESETS

from .failing import one_sentence
from .inputs import CATEGORY
from .models import Models, ModelsType

logger = logging.getLogger(__name__)

AUTO = "auto"
_ADVANCED = {"optional": True, "advanced": True}


class LoadTemuVtoff(io.ComfyNode):
    """Chooses models; the nodes that need them load them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadTemuVtoff",
            display_name="Load TEMU-VTOFF",
            category=CATEGORY,
            description="Virtual try-off: takes garments off photos as product pictures. Models are loaded when a node "
            "needs them and let go when ComfyUI asks for memory. The built-in model knows drawn people only.",
            inputs=[
                io.Combo.Input("backend", options=list(BACKENDS), default=TEMU_VTOFF, tooltip="kind of model"),
                _text(
                    "source",
                    "hub id or folder, such as davidelobba/TEMU-VTOFF; empty: the built-in model, or the image-editing "
                    "back end's own",
                ),
                io.Combo.Input(
                    "precision", options=[AUTO, *PRECISIONS], default=AUTO, tooltip="no: float32; auto: bf16 on GPUs"
                ),
                io.Combo.Input("preset", options=list(PRESETS), default=Options.preset, tooltip="speed or quality"),
                _text("lora", "adapters, one a line: FILE_OR_ID[:WEIGHT_NAME][@SCALE]", multiline=True, optional=True),
                _text(
                    "tryon",
                    "hub id or folder of a try-on model, such as BoyuanJiang/FitDiT; only for Try On; empty: the "
                    "built-in one beside the built-in model",
                    optional=True,
                ),
                _text("base", "hub id or folder of VAE and text encoders, if the source has none", **_ADVANCED),
                _text("segmenter", "a SegFormer", **_ADVANCED),
                _text("captioner", "an image-text-to-text model", **_ADVANCED),
                io.Combo.Input(
                    "offload",
                    options=list(OFFLOADS),
                    default=Options.offload,
                    tooltip="which models wait in host memory; auto: as the GPU's memory needs",
                    **_ADVANCED,
                ),
                io.Boolean.Input(
                    "keep_loaded",
                    default=True,
                    tooltip="off: each node frees its model when it is done",
                    **_ADVANCED,
                ),
            ],
            outputs=[ModelsType.Output("models", display_name="models")],
        )

    @classmethod
    def execute(
        cls,
        backend: str,
        source: str,
        precision: str,
        preset: str,
        lora: str = "",
        tryon: str = "",
        base: str = "",
        segmenter: str = "",
        captioner: str = "",
        offload: str = Options.offload,
        keep_loaded: bool = True,
    ) -> io.NodeOutput:
        is_editor = backend in EDITORS
        with one_sentence({"base": "source"} if is_editor else None):
            options = Options(
                backend=backend,
                base=_given(source) if is_editor else _given(base),
                tryoff=None if is_editor else _given(source),
                segmenter=_given(segmenter),
                captioner=_given(captioner),
                lora=[line.strip() for line in lora.splitlines() if line.strip()],
                device=str(model_management.get_torch_device()),
                precision=None if precision == AUTO else precision,
                offload=offload,
                preset=preset,
            )
            options.size()  # reads the configurations, so that a missing model is this node's error
            models = Models(options, _given(tryon), keep_loaded)
            if models.tryon is not None:
                models.tryon_options().size()
            if models.note is not None:
                logger.info(models.note)
        return io.NodeOutput(models)


def _text(name: str, tooltip: str, **how: bool) -> io.Input:
    """A text that may stay empty; `how` as for `io.String.Input`."""
    return io.String.Input(name, default="", tooltip=tooltip, **how)


def _given(text: str) -> str | None:
    return text.strip() or None
