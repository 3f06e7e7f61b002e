"""How the page looks, and which event calls which handler."""

from pathlib import Path
from typing import Any

import gradio as gr

from temu_vtoff.segmentation.masks import CATEGORIES
from web_page.guard import Page
from web_page.handlers import ALL, Handlers, Limits
from web_page.models import Models, Settings
from web_page.photos import BRUSH, VEIL
from web_page.visits import Visits

TITLE = "TEMU-VTOFF: virtual try-off"
NAMES = {"upper_body": "Upper body", "lower_body": "Lower body", "dresses": "Dress", ALL: "Every garment"}
FILES_KEPT = (600, 6 * 3600)  # seconds: how often uploads and results are looked through, and how old they get
ONE_AT_A_TIME = {"concurrency_limit": 1, "concurrency_id": "models"}
ON_PAGE = {"api_visibility": "private", "show_progress": "minimal"}
THEME = gr.themes.Soft(
    primary_hue="rose",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],  # no fonts from elsewhere
    font_mono=["ui-monospace", "monospace"],
).set(  # labels as plain words; the background is the theme's own, which `set` would forget
    background_fill_primary="*neutral_50",
    block_label_background_fill="*block_background_fill",
    block_label_background_fill_dark="*block_background_fill",
    block_label_text_color="*body_text_color",
    block_label_text_color_dark="*body_text_color",
    block_label_shadow="none",
    block_label_border_width="0px",
    block_title_background_fill="none",
    block_title_background_fill_dark="none",
    block_title_text_color="*body_text_color",
    block_title_text_color_dark="*body_text_color",
    block_title_padding="0",
)
CSS = """
.gradio-container { max-width: 1120px !important; width: 100% !important; margin: auto !important; }
h3 { margin: 0 !important; font-size: 1em !important; }
.step { display: flex; gap: 12px; align-items: center; font-size: 0.9em; }
.step progress { flex: 1; height: 8px; appearance: none; border: 0; border-radius: 4px; overflow: hidden; }
.step progress, .step progress::-webkit-progress-bar { background: var(--border-color-primary); }
.step progress::-webkit-progress-value { background: var(--color-accent); }
.step progress::-moz-progress-bar { background: var(--color-accent); }
.notice { font-size: 0.9em; opacity: 0.75; }
#mask div:has(> .layer-wrap), .thumbnail-item .caption-label { display: none; }
.pictures .grid-wrap { padding-top: 44px; }
.pictures .grid-container { grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)) !important; }
"""


def build_page(models: Models, visits: Visits, limits: Limits, examples: list[Path]) -> gr.Blocks:
    """The page; `launch` starts it.

    Args:
        examples: Photos to click, in a folder that Gradio may read: below the working or the temporary folder.
    """
    handlers = Handlers(models, visits, limits)
    own = models.own_size
    defaults = Settings(own.width, own.height, models.steps)
    categories = [(NAMES[name], name) for name in CATEGORIES]

    with Page(visits.folder, visits.owns, title=TITLE, analytics_enabled=False, delete_cache=FILES_KEPT) as page:
        gr.Markdown("# Virtual try-off\nFrom a photo of a dressed person to the shop picture of what they wear.")
        if models.notice:
            gr.Markdown(models.notice, elem_classes="notice")
        with gr.Tab("One photo"), gr.Row(equal_height=False):
            with gr.Column():
                gr.Markdown("### 1. Photo")
                photo = photo_upload(
                    label="Photo",
                    show_label=False,
                    sources=["upload", "clipboard"],
                    height=300,
                    elem_id="photo",
                )
                samples = gr.Dataset(
                    components=[photo],
                    samples=[[str(path)] for path in examples],
                    type="index",
                    label="Or an example",
                    elem_id="examples",
                )
                gr.Markdown("### 2. Garment")
                category = gr.Radio(
                    categories, value=CATEGORIES[0], show_label=False, container=False, elem_id="category"
                )
                gr.Markdown("### 3. Its mask: paint to add, erase to take away")
                mask = gr.ImageEditor(
                    label="Mask",
                    show_label=False,
                    type="pil",
                    format="png",
                    sources=(),
                    transforms=(),
                    layers=gr.LayerOptions(allow_additional_layers=False),
                    brush=gr.Brush(default_size=24, colors=[(_hex(BRUSH), VEIL / 255)], color_mode="fixed"),
                    eraser=gr.Eraser(default_size=24),
                    canvas_size=(576, 768),
                    height=460,
                    buttons=["fullscreen"],
                    elem_id="mask",
                )
                gr.Markdown("### 4. Its shape in words: correct them freely")
                caption = gr.Textbox(
                    label="Caption", show_label=False, container=False, lines=2, max_lines=4, elem_id="caption"
                )
            with gr.Column():
                gr.Markdown("### 5. Product picture")
                slider = gr.ImageSlider(
                    label="Photo and product picture",
                    show_label=False,
                    format="png",
                    buttons=["fullscreen"],
                    max_height=720,
                    elem_id="slider",
                )
                progress = gr.HTML(elem_id="progress")
                with gr.Row():
                    make = gr.Button("Try off", variant="primary", elem_id="make")
                    stop = gr.Button("Stop", elem_id="stop")
                several = pictures_field("Choose one", visible=False, allow_preview=False)
                with gr.Row():
                    white = gr.DownloadButton("PNG on white", interactive=False, size="md", elem_id="white")
                    cutout = gr.DownloadButton("PNG cut out", interactive=False, size="md", elem_id="cutout")
                    archive = gr.DownloadButton("All as ZIP", visible=False, size="md")
                shown_history = pictures_field("This visit", visible=False, elem_id="history")
        with gr.Tab("Several photos"), gr.Row(equal_height=False):
            with gr.Column():
                photos = gr.File(
                    label=f"Photos, up to {limits.photos}",
                    file_count="multiple",
                    file_types=["image"],
                    elem_id="photos",
                )
                many_category = gr.Radio(
                    [*categories, (NAMES[ALL], ALL)], value=ALL, label="Garment", elem_id="many_category"
                )
                with gr.Row():
                    make_many = gr.Button("Try off", variant="primary", elem_id="make_many")
                    stop_many = gr.Button("Stop")
            with gr.Column():
                many_progress = gr.HTML()
                gallery = pictures_field("Product pictures", elem_id="gallery")
                many_archive = gr.DownloadButton("All as ZIP", interactive=False, elem_id="zip")
                left_out = gr.Markdown()
        with gr.Accordion("Advanced", open=False):
            with gr.Row():
                seed = gr.Number(defaults.seed, label="Seed", precision=0, minimum=0)
                size = gr.Dropdown(
                    [f"{width}x{height}" for width, height in models.sizes()],
                    value=f"{own.width}x{own.height}",
                    label="Size",
                    info=f"the model was made for {own.width}x{own.height}",
                )
                count = gr.Slider(1, limits.pictures, defaults.count, step=1, label="Pictures of a garment")
            with gr.Row():
                steps = gr.Slider(1, limits.steps, defaults.steps, step=1, label="Steps")
                guidance = gr.Slider(1, 6, defaults.guidance, step=0.1, label="Guidance", info="1: none")

        advanced = [seed, steps, guidance, size, count]
        results, history = gr.State([]), gr.State([])

        samples.click(lambda number: str(examples[number]), samples, photo, queue=False, **ON_PAGE)
        for trigger, look, shown in (
            (photo.change, handlers.look, [category, mask]),
            (category.input, handlers.show_mask, [mask]),
        ):
            trigger(
                lambda: (None, "", gr.Button(interactive=False)), outputs=[mask, caption, make], queue=False, **ON_PAGE
            ).then(look, [photo, category], shown, **ON_PAGE, **ONE_AT_A_TIME).success(
                handlers.write_caption, [photo, category], caption, **ON_PAGE, **ONE_AT_A_TIME
            ).then(lambda: gr.Button(interactive=True), outputs=make, queue=False, **ON_PAGE)

        making = make.click(
            handlers.make,
            [photo, mask, category, caption, history, *advanced],
            [progress, slider, several, results, white, cutout, archive, history],
            **ON_PAGE,
            **ONE_AT_A_TIME,
            show_progress_on=progress,
        )
        making.then(lambda pictures: gr.Gallery(pictures, visible=bool(pictures)), history, shown_history, **ON_PAGE)
        several.select(handlers.choose_clicked, results, [slider, white, cutout], **ON_PAGE)
        making_many = make_many.click(
            handlers.make_many,
            [photos, many_category, *advanced],
            [many_progress, gallery, many_archive, left_out],
            **ON_PAGE,
            **ONE_AT_A_TIME,
            show_progress_on=many_progress,
        )
        for button, event, shown, how in (
            (stop, making, progress, {"api_name": "stop"}),
            (stop_many, making_many, many_progress, ON_PAGE),
        ):
            # Cleared once more when the work is cancelled for sure: its last news may overtake the first clearing.
            button.click(handlers.stop, outputs=shown, cancels=[event], queue=False, **how).then(
                lambda: "", outputs=shown, queue=False, **ON_PAGE
            )
        page.unload(handlers.leave)

        with gr.Row(visible=False):  # for programs: no mask editor, no previews
            api_mask, api_files, api = photo_upload(), gr.Files(), gr.Button()
        api.click(handlers.api_segment, [photo, category], api_mask, api_name="segment", **ONE_AT_A_TIME)
        api.click(handlers.api_caption, [photo, category], caption, api_name="caption", **ONE_AT_A_TIME)
        api.click(
            handlers.api_try_off,
            [photo, api_mask, category, caption, *advanced],
            api_files,
            api_name="try_off",
            **ONE_AT_A_TIME,
        )
    return page


def pictures_field(title: str, **options: Any) -> gr.Gallery:
    """A gallery of whole pictures, as many in a row as there is room for."""
    return gr.Gallery(label=title, format="png", object_fit="contain", elem_classes="pictures", **options)


def photo_upload(**options: Any) -> gr.Image:
    """A picture field that hands over the uploaded file unread: `web_page.photos` decides what is decoded.

    The method is set on the field itself, because Gradio writes a .pyi file beside every subclass's source.
    """
    field = gr.Image(format="png", image_mode=None, **options)
    field.preprocess = lambda payload: None if payload is None else payload.path
    return field


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
