"""The page as a whole: notice, tabs, advanced settings, links, and the endpoints for programs."""

from pathlib import Path

import gradio as gr

from temu_vtoff.hub.sources import PUBLISHED_BASE, PUBLISHED_TRYOFF
from web_page.guard import Page
from web_page.messages import LABELS
from web_page.models import Settings
from web_page.one_photo import OnePhoto
from web_page.programs import Programs
from web_page.several_photos import SeveralPhotos
from web_page.studio import FITS, Studio
from web_page.try_on import NEEDED, TryOnTab
from web_page.work_tab import AT_ONCE

TITLE = "TEMU-VTOFF: virtual try-off"
INTRODUCTION = "# Virtual try-off\nFrom a photo of a dressed person to the shop picture of what they wear, and back."
NOTICE = (
    "**This is a demonstration with a small model that knows drawn people only**, as in the examples below. "
    "Photographs of real people come out wrong. Whoever runs this page can start it with the published model, which is "
    "made for photographs."
)
FIT_NAMES = {"pad": "Whole photo", "crop": "Cut to the picture's shape"}
HUB = "https://huggingface.co"
LINKS = f"""
- Paper: [Inverse Virtual Try-On: Generating Multi-Category Product-Style Images from Clothed
  Individuals](https://arxiv.org/abs/2505.21062)
- Published weights: [{PUBLISHED_TRYOFF}]({HUB}/{PUBLISHED_TRYOFF}), for non-commercial use (CC BY-NC 4.0), with
  [Stable Diffusion 3 medium]({HUB}/{PUBLISHED_BASE}) (Stability AI Community License)
- The small model and this program: Apache License 2.0
- Photos and pictures stay on the computer that runs this page, and are deleted there when you close it.
"""


class Advanced:
    """The fields of `Studio.settings`, in its order: `fields`."""

    def __init__(self, studio: Studio) -> None:
        models, limits = studio.models, studio.limits
        defaults = Settings(models.own_size.width, models.own_size.height, models.steps)
        with gr.Row():
            with gr.Column(min_width=160):
                self.seed = gr.Number(
                    defaults.seed,
                    label=LABELS["seed"],
                    precision=0,
                    minimum=0,
                    info="blank: a random one",
                    elem_id="seed",
                )
                self.random = gr.Button("Random seed", size="sm", elem_id="random_seed")
            self.size = gr.Dropdown(
                [f"{width}x{height}" for width, height in models.sizes()],
                value=models.own_size_name,
                label=LABELS["width"],
                info=f"the model was made for {models.own_size_name}",
            )
            self.fit = gr.Radio(
                [(FIT_NAMES[fit], fit) for fit in FITS],
                value=FITS[0],
                label=LABELS["resize_mode"],
                info="of photos of another shape",
                elem_id="fit",
            )
        with gr.Row():
            self.count = gr.Slider(
                1, limits.pictures, defaults.count, step=1, label=LABELS["num_images"], info="the best comes first"
            )
            self.steps = gr.Slider(1, limits.steps, defaults.steps, step=1, label=LABELS["num_inference_steps"])
            self.guidance = gr.Slider(1, 6, defaults.guidance, step=0.1, label=LABELS["guidance_scale"], info="1: none")
        self.fields = [self.seed, self.steps, self.guidance, self.size, self.count, self.fit]

    def wire(self) -> None:
        self.random.click(None, outputs=self.seed, js="() => Math.floor(Math.random() * 2 ** 32)", **AT_ONCE)


def build_page(studio: Studio, examples: list[Path]) -> Page:
    """The page; `launch` starts it.

    Args:
        examples: Photos to click, in the folder `web_page.guard.EXAMPLES` of the visits' folder.
    """
    with Page(studio.visits, title=TITLE, analytics_enabled=False) as page:
        if studio.models.is_builtin:
            gr.Markdown(NOTICE, elem_id="notice")
        gr.Markdown(INTRODUCTION)
        with gr.Tab("One photo"):
            page.one = OnePhoto(studio, examples)
        with gr.Tab("Several photos"):
            page.several = SeveralPhotos(studio)
        with gr.Tab("Try on", elem_id="on_tab"):
            page.on = None if studio.models.fitting_room is None else TryOnTab(studio, examples)
            if page.on is None:
                gr.Markdown(NEEDED, elem_id="needed")
        with gr.Accordion("Advanced", open=False, elem_id="advanced"):  # of try-off; hidden beside try-on
            advanced = Advanced(studio)
        with gr.Accordion("About", open=False, elem_id="about"):
            gr.Markdown(LINKS)
        page.programs = Programs(studio)  # before the tabs' events, which then can't take the endpoints' names
        page.one.wire(advanced.fields)
        page.several.wire(advanced.fields)
        if page.on is not None:
            page.on.wire()
        advanced.wire()
    return page
