"""Small ONNX networks with the interfaces of YOLOX, of whole-body RTMPose and of YuNet, that find painted figures.

A figure is a box of blue 200 in which every point k is a square of red RED(k) and green GREEN(k): what they find is
exact to a pixel, so that a scale, a shift or an order of colours that is wrong shows.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BLUE = 200
SEEN = [*range(17), 40, 91, 100, 112, 121]  # of COCO-WholeBody: the body, a point of the face, two of each hand


def color(k):
    return 20 + 18 * (k % 12), 20 + 18 * (k // 12), BLUE


def _constant(name, values, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def _save(path, nodes, inputs, outputs, constants):
    graph = helper.make_graph(nodes, "small", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def _picture(height, width):
    return helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, height, width])


def yolox(path, side=160, people=1):
    """[1, 3, side, side] in BGR to [1, people, 5]: the box around all that is blue in each of so many upright stripes
    of the picture, with its score."""
    node = helper.make_node
    nodes = [
        node("Slice", ["input", "zero", "one", "axis1"], ["blue"]),
        node("Greater", ["blue", "level"], ["is_blue"]),
        node("Cast", ["is_blue"], ["mask"], to=TensorProto.FLOAT),
    ]
    constants = [_constant("level", 150.0), _constant("shape", [1, people, 5], np.int64)]
    constants += [_constant(name, [v], np.int64) for name, v in (("zero", 0), ("one", 1), ("axis1", 1))]
    for k in range(people):
        inside = np.arange(side) * people // side == k
        constants.append(_constant(f"stripe{k}", inside.reshape(1, 1, 1, side)))
        nodes += [
            node("Mul", ["mask", f"stripe{k}"], [f"mask{k}"]),
            node("ReduceMax", [f"mask{k}"], [f"columns{k}"], axes=[1, 2], keepdims=0),
            node("ReduceMax", [f"mask{k}"], [f"rows{k}"], axes=[1, 3], keepdims=0),
            node("ReduceMax", [f"mask{k}"], [f"any{k}"], axes=[1, 2, 3], keepdims=0),
        ]
        for name in (f"columns{k}", f"rows{k}"):
            nodes += [
                node("ArgMax", [name], [f"{name}_first"], axis=1, keepdims=0),
                node("ArgMax", [name], [f"{name}_last"], axis=1, keepdims=0, select_last_index=1),
                node("Cast", [f"{name}_first"], [f"{name}_0"], to=TensorProto.FLOAT),
                node("Cast", [f"{name}_last"], [f"{name}_1"], to=TensorProto.FLOAT),
            ]
    flat = [f"{name}{k}{end}" for k in range(people)
            for name, end in (("columns", "_0"), ("rows", "_0"), ("columns", "_1"), ("rows", "_1"), ("any", ""))]  # fmt: skip
    nodes += [node("Concat", flat, ["flat"], axis=0), node("Reshape", ["flat", "shape"], ["output"])]
    out = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, people, 5])
    return _save(path, nodes, [_picture(side, side)], [out], constants)


def rtmpose(path, height=128, width=96, points=133):
    """[1, 3, height, width] in RGB, normalised, to simcc_x [1, points, 2 width] and simcc_y [1, points, 2 height]."""
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    colors = np.array([color(k) for k in range(points)], np.float32)[:, :2]
    node = helper.make_node
    # 1 - |r - r_k| / 8 - |g - g_k| / 8, of pixels that are blue.
    nodes = [
        node("Mul", ["input", "std"], ["scaled"]),
        node("Add", ["scaled", "mean"], ["levels"]),
        node("Split", ["levels"], ["red", "green", "blue"], axis=1),
    ]
    for name in ("red", "green"):
        nodes += [
            node("Sub", [name, f"{name}_k"], [f"{name}_off"]),
            node("Abs", [f"{name}_off"], [f"{name}_far"]),
        ]
    nodes += [
        node("Sub", ["blue", "blue_level"], ["blue_off"]),
        node("Abs", ["blue_off"], ["blue_far"]),
        node("Add", ["red_far", "green_far"], ["far_2"]),
        node("Add", ["far_2", "blue_far"], ["far"]),
        node("Div", ["far", "eight"], ["apart"]),
        node("Sub", ["unit", "apart"], ["near"]),
        node("Relu", ["near"], ["heat_small"]),
        node("AveragePool", ["heat_small"], ["heat"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("ReduceMax", ["heat"], ["x_small"], axes=[2], keepdims=0),
        node("ReduceMax", ["heat"], ["y_small"], axes=[3], keepdims=0),
        node("Resize", ["x_small", "", "twice"], ["simcc_x"], mode="nearest"),
        node("Resize", ["y_small", "", "twice"], ["simcc_y"], mode="nearest"),
    ]
    constants = [
        _constant("mean", mean.reshape(1, 3, 1, 1)),
        _constant("std", std.reshape(1, 3, 1, 1)),
        _constant("red_k", colors[:, 0].reshape(1, -1, 1, 1)),
        _constant("green_k", colors[:, 1].reshape(1, -1, 1, 1)),
        _constant("blue_level", float(BLUE)),
        _constant("eight", 8.0),
        _constant("unit", 1.0),
        _constant("twice", [1, 1, 2]),
    ]
    outs = [
        helper.make_tensor_value_info(f"simcc_{axis}", TensorProto.FLOAT, [1, points, 2 * side])
        for axis, side in (("x", width), ("y", height))
    ]
    return _save(path, nodes, [_picture(height, width)], outs, constants)


def models(folder, people=1):
    """A folder with both, under the names that people have them by."""
    folder.mkdir(exist_ok=True)
    yolox(folder / "yolox_m_8xb8-300e_humanart.onnx", people=people)
    rtmpose(folder / "dw-ll_ucoco_384.onnx")
    return folder


def stick_figure(sway=0.0):
    """133 points of a standing figure, 1 high: x about 0, y from 0 (head) to 1 (feet)."""
    points = np.zeros((133, 2))
    points[:17] = [(0, .08), (.02, .06), (-.02, .06), (.05, .07), (-.05, .07), (.11, .22), (-.11, .22), (.17, .36),
                   (-.17, .36), (.22 + sway, .48), (-.22, .48 - sway), (.07, .52), (-.07, .52), (.08, .74), (-.08, .74),
                   (.08, .96), (-.08, .96)]  # fmt: skip
    points[40] = 0, 0.13
    points[[91, 100]] = points[9] + np.array([(0.02, 0.05), (0.05, 0.1)])
    points[[112, 121]] = points[10] + np.array([(-0.02, 0.05), (-0.05, 0.1)])
    return points


def paint(picture, centre, top, height, sway=0.0, square=2):
    """Paints a figure into a picture; returns its points in pixels."""
    points = stick_figure(sway) * height + (centre, top)
    low, high = points[SEEN].min(0) - 4, points[SEEN].max(0) + 4
    (x0, y0), (x1, y1) = np.rint(low).astype(int).clip(0), np.rint(high).astype(int)
    picture[y0 : y1 + 1, x0 : x1 + 1] = (255, 255, BLUE)
    for k in SEEN:
        x, y = np.rint(points[k]).astype(int)
        picture[y - square : y + square + 1, x - square : x + square + 1] = color(k)
    return points


def video(frames=6, size=(240, 200), centre=90, top=30, height=180):
    """(frames, points): a figure whose hands move on a grey ground."""
    pictures = np.full((frames, *size, 3), 60, np.uint8)
    sways = 0.04 * np.sin(np.arange(frames))
    points = [
        paint(p, centre + 2 * k, top, height, s) for k, (p, s) in enumerate(zip(pictures, sways, strict=True))
    ]
    return pictures, np.stack(points)
