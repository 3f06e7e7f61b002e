"""How the page looks."""

import gradio as gr

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
#notice, #remarks, #on_remarks, #warning, #on_warning { padding: 8px 14px; border-radius: 8px;
    border-left: 4px solid var(--color-accent);
    background: var(--background-fill-secondary); }
#remarks, #on_remarks, #warning, #on_warning { border-color: #e0a000; }
.gradio-container:has(#on_tab:not([style*="none"])) #advanced { display: none; }
#product img, #on_product img { width: 100%; height: 100%; object-fit: contain; }
#details, #on_details { font-size: 0.85em; opacity: 0.75; }
.step { display: flex; gap: 12px; align-items: center; font-size: 0.9em; }
.step progress { flex: 1; height: 8px; appearance: none; border: 0; border-radius: 4px; overflow: hidden; }
.step progress, .step progress::-webkit-progress-bar { background: var(--border-color-primary); }
.step progress::-webkit-progress-value { background: var(--color-accent); }
.step progress::-moz-progress-bar { background: var(--color-accent); }
#progress .wrap, #on_progress .wrap, #many_progress .wrap { position: static !important; overflow: visible !important;
    height: auto !important; max-height: none !important; min-height: 28px; background: none !important; }
#progress .progress-text, #on_progress .progress-text, #many_progress .progress-text { position: static !important; }
.side-by-side { flex-wrap: nowrap !important; }
.side-by-side button { min-width: 0 !important; }
.pictures .grid-wrap { padding-top: 44px; max-height: none !important; min-height: 0 !important;
    height: auto !important; }
.pictures .grid-container { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)) !important;
    grid-auto-rows: auto !important; align-items: start; }
.pictures .thumbnail-lg, .pictures .thumbnail-item { aspect-ratio: auto !important; height: auto !important;
    width: 100% !important; max-width: none !important; display: flex; flex-direction: column; }
.pictures .thumbnail-item img { height: auto !important; aspect-ratio: 3 / 4; }
.pictures .caption-label { position: static !important; max-width: 100% !important; white-space: normal !important;
    overflow: visible !important; text-overflow: clip !important; text-align: left; background: none !important;
    border: 0 !important; box-shadow: none !important; font-size: 0.8em; padding: 4px 2px; line-height: 1.3; }
.pictures .caption { white-space: normal !important; overflow: visible !important; }
@media (max-width: 640px) {
    .gradio-container main { padding: 8px !important; }
    .photo { height: 180px !important; min-height: 0 !important; }
    #person, #garment { height: 150px !important; }
    .mask-editor img { max-height: 240px !important; }
    #region img { max-height: 200px !important; }
}
"""
