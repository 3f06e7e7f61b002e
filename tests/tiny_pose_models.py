"""Tiny ONNX models of the shapes that rtmlib reads: a YOLOX detector, and whole-body models of 133 points."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

POINTS = 133
SIDE = 64  # of the detector's input
STRIDES = (8, 16, 32)
WIDTH, HEIGHT = 48, 64  # of the pose model's input
SPLIT = 2  # positions to a pixel


def save_detector(path: Path, boxes: list[tuple[int, float, tuple[float, float, float, float]]]) -> None:
    """A detector without suppression that finds the same boxes in every photo.

    Args:
        boxes: COCO's class, score, and the box as left, top, right, bottom, in pixels of its input.
    """
    cells = [(x, y, stride) for stride in STRIDES for y in range(SIDE // stride) for x in range(SIDE // stride)]
    rows = np.zeros((1, len(cells), 85), np.float32)
    for number, (kind, score, (left, top, right, bottom)) in enumerate(boxes):
        x, y, stride = cells[number]
        middle = ((left + right) / 2 / stride - x, (top + bottom) / 2 / stride - y)
        rows[0, number, :4] = (*middle, np.log((right - left) / stride), np.log((bottom - top) / stride))
        rows[0, number, 4], rows[0, number, 5 + kind] = 1, score
    _save(path, (SIDE, SIDE), {"output": rows})


def save_suppressed_detector(path: Path, boxes: list[tuple[float, float, float, float]]) -> None:
    """A detector that has chosen among its boxes, as the ones that rtmlib downloads."""
    rows = np.array([[(*box, 0.9) for box in boxes]], np.float32).reshape(1, len(boxes), 5)
    _save(path, (SIDE, SIDE), {"dets": rows, "labels": np.zeros((1, len(boxes)), np.int64)})


def save_pose_model(path: Path, places: np.ndarray, scores: np.ndarray) -> None:
    """A whole-body model that finds the points at the same place of every box.

    Args:
        places: (133, 2), x and y in pixels of its input.
        scores: (133,).
    """
    outputs = {}
    for axis, (name, length) in enumerate((("simcc_x", WIDTH), ("simcc_y", HEIGHT))):
        simcc = np.zeros((1, len(places), SPLIT * length), np.float32)
        simcc[0, np.arange(len(places)), np.rint(SPLIT * places[:, axis]).astype(int)] = scores
        outputs[name] = simcc
    _save(path, (HEIGHT, WIDTH), outputs)


def save_spot_finder(path: Path) -> None:
    """A whole-body model that finds every point where the photo is reddest."""
    nodes = [helper.make_node("Slice", ["input", "two", "three", "one"], ["red"])]  # blue first
    for name, axes in (("x", "rows"), ("y", "columns")):
        nodes += [
            helper.make_node("ReduceMean", ["red", axes], [f"{name}_mean"], keepdims=0),
            helper.make_node("Add", [f"{name}_mean", "lift"], [f"{name}_score"]),
            helper.make_node("Reshape", [f"{name}_score", "as_column"], [f"{name}_column"]),
            helper.make_node("Tile", [f"{name}_column", "doubled"], [f"{name}_double"]),
            helper.make_node("Reshape", [f"{name}_double", "as_row"], [f"{name}_row"]),
            helper.make_node("Tile", [f"{name}_row", "every_point"], [f"simcc_{name}"]),
        ]
    values = {"one": [1], "two": [2], "three": [3], "rows": [1, 2], "columns": [1, 3], "as_column": [1, -1, 1]}
    values |= {"doubled": [1, 1, SPLIT], "as_row": [1, 1, -1], "every_point": [1, POINTS, 1]}
    shapes = {"simcc_x": [1, POINTS, SPLIT * WIDTH], "simcc_y": [1, POINTS, SPLIT * HEIGHT]}
    arrays = {name: np.array(value, np.int64) for name, value in values.items()}
    arrays["lift"] = np.array(3, np.float32)  # pixels are normalised: no score is negative then
    _save(path, (HEIGHT, WIDTH), arrays, nodes, shapes)


def _save(path: Path, size: tuple[int, int], arrays: dict, nodes: list = (), shapes: dict | None = None) -> None:
    """Writes a model; without nodes, its outputs are the arrays."""
    if not nodes:
        nodes = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in arrays]
        shapes = {name: array.shape for name, array in arrays.items()}
        kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in arrays.items()}
        arrays = {f"{name}_value": array for name, array in arrays.items()}
    else:
        kinds = dict.fromkeys(shapes, TensorProto.FLOAT)
    graph = helper.make_graph(
        list(nodes),
        path.stem,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, *size])],
        [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
