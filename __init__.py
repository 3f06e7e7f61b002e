"""The repository as a custom node of ComfyUI: in `custom_nodes`, it gives the nodes of `comfyui/`."""

from importlib.util import find_spec

if __package__ and find_spec("comfy_api") is not None:  # outside of ComfyUI this file does nothing
    from .comfyui.extension import comfy_entrypoint

    __all__ = ["comfy_entrypoint"]
