"""The field in which visitors paint a mask: one layer of one colour over the photo, drawn by `mask_editor.js`.

Only the mask comes back from the browser, never the photo.
"""

from pathlib import Path

import gradio as gr

_TOOLS = (  # name, label, hint
    ("brush", "Brush", "add to the mask"),
    ("eraser", "Eraser", "take away from the mask"),
    ("undo", "Undo", "take the last change back"),
    ("grow", "Grow", "make the mask larger all around"),
    ("shrink", "Shrink", "make the mask smaller all around"),
    ("clear", "Empty", "empty the mask; the photo stays"),
)
_BUTTONS = "".join(
    f'<button type="button" data-tool="{name}" title="{hint}" aria-label="{hint}">{label}</button>'
    for name, label, hint in _TOOLS
)
HTML = f"""
<div class="mask-editor">
  <div class="empty">EMPTY</div>
  <div class="canvas" hidden><img alt="photo" draggable="false"><canvas aria-label="mask"></canvas></div>
  <div class="tools" hidden>
    <button type="button" data-tool="edit" aria-expanded="false">CHANGE</button>
    <span class="open">{_BUTTONS}
      <label>Size <input type="range" min="4" max="120" value="32" aria-label="brush size"></label>
    </span>
  </div>
</div>
"""
CSS = """
.mask-editor { display: flex; flex-direction: column; gap: 8px; }
.mask-editor [hidden] { display: none !important; }
.mask-editor .empty { padding: 24px; text-align: center; opacity: 0.7; border-radius: 8px;
    border: 1px dashed var(--border-color-primary); }
.mask-editor .canvas { position: relative; align-self: center; line-height: 0; }
.mask-editor img { display: block; max-width: 100%; max-height: 420px; width: auto; height: auto; margin: 0; }
.mask-editor canvas { position: absolute; inset: 0; width: 100%; height: 100%; opacity: 0.6; }
.mask-editor.editing canvas { touch-action: none; cursor: crosshair; }
.mask-editor:not(.editing) canvas { pointer-events: none; }
.mask-editor:not(.editing) .open { display: none; }
.mask-editor .tools, .mask-editor .open { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; }
.mask-editor button { padding: 4px 10px; border-radius: 6px; font-size: 0.9em; min-height: 34px;
    border: 1px solid var(--border-color-primary); background: var(--button-secondary-background-fill);
    color: var(--button-secondary-text-color); }
.mask-editor button.chosen { border-color: var(--color-accent); color: var(--color-accent); }
.mask-editor label { display: flex; gap: 6px; align-items: center; font-size: 0.9em; }
.mask-editor input { width: 90px; accent-color: var(--color-accent); }
"""
JS = (Path(__file__).parent / "mask_editor.js").read_text(encoding="utf-8")


def mask_editor(elem_id: str, empty: str, change: str) -> gr.HTML:
    """The field. Its value comes from `web_page.photos.to_editor` and goes to `from_editor`.

    Args:
        empty: What it says before there is a photo.
        change: What its button says where painting is only begun on demand.
    """
    html = HTML.replace("EMPTY", empty).replace("CHANGE", change)
    return gr.HTML(
        value=None, html_template=html, css_template=CSS, js_on_load=JS, elem_id=elem_id, apply_default_css=False
    )
