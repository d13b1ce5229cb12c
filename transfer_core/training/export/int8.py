"""An ONNX file in 8-bit numbers. What it costs in accuracy is measured on the test images, never promised.

Weights become signed 8-bit numbers with a scale for each channel, activations unsigned ones whose range is looked up on training
images (static quantisation). Weights use 7 of their 8 bits: processors without 8-bit dot products would overflow in between
(ONNX Runtime, “Quantize ONNX models”), and the same file would answer differently on another machine. Two kinds of layers need
not: depthwise convolutions, which ONNX Runtime adds up in 16 and 32 bits everywhere, use all 8; and the first layer, a thousandth
of the weights, stays as it is. What that gains is measured in docs/decisions.md.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.errors import BadImage, Unavailable
from transfer_core.images import open_image, preprocess
from transfer_core.paths import replacing
from transfer_core.training.export.replay import Run

LOOKED_AT = 128
"""Training images the ranges are taken from."""
LITTLE = 0.01
"""Share of all weights up to which the first layer is left in 32 bits. (That of a Vision Transformer is a tenth.)"""


def quantize(run: Run, original: Path, file: Path) -> Path:
    """Raises `Unavailable` when the training images are gone."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    facts = {entry.key: entry.value for entry in onnx.load(original).metadata_props}

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.inputs = _inputs(run, json.loads(facts["input"]))

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.inputs, None)

    quiet = logging.getLogger()
    level = quiet.level
    with tempfile.TemporaryDirectory() as place, replacing(file) as part:
        ready, made = Path(place) / "ready.onnx", Path(place) / "int8.onnx"
        quiet.setLevel(logging.ERROR)  # it speaks through the root logger
        try:
            quant_pre_process(str(original), str(ready), skip_symbolic_shape=True)
            graph = onnx.load(ready).graph
            left = [*_beside(graph, json.loads(facts["output"])), *_first(graph, json.loads(facts["input"]))]
            whole = [{"axis": 0, "quant_type": QuantType.QInt8, "symmetric": True, "reduce_range": False}]
            quantize_static(str(ready), str(made), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
                            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=left,
                            extra_options={"TensorQuantOverrides": dict.fromkeys(_depthwise(graph, left), whole)})
        finally:
            quiet.setLevel(level)
        written = onnx.load(made)
        onnx.helper.set_model_props(written, facts)
        onnx.save_model(written, str(part))
    return file


def _beside(graph: Any, output: str) -> list[str]:
    """Names of the nodes that `output` does not need: a likeness of rounded numbers would be another one."""
    makers = {made: node for node in graph.node for made in node.output}
    needed, waiting = set(), [output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in needed:
            needed.add(node.name)
            waiting.extend(node.input)
    return [node.name for node in graph.node if node.name not in needed]


def _first(graph: Any, given: str) -> list[str]:
    """Names of the nodes that see the image itself, where they hold few weights."""
    sizes = {weights.name: math.prod(weights.dims) for weights in graph.initializer}
    nodes = [node for node in graph.node if given in node.input]
    held = sum(sizes.get(name, 0) for node in nodes for name in node.input)
    return [node.name for node in nodes] if held <= LITTLE * sum(sizes.values()) else []


def _depthwise(graph: Any, left: Collection[str]) -> list[str]:
    """Names of the weights of convolutions that look at each channel alone."""
    shapes = {weights.name: weights.dims for weights in graph.initializer}
    found = [(shapes.get(node.input[1], ()), node) for node in graph.node if node.op_type == "Conv" and node.name not in left]
    return [node.input[1] for shape, node in found if len(shape) == 4 and shape[1] == 1 < shape[0]
            and any(fact.name == "group" and fact.i > 1 for fact in node.attribute)]


def _inputs(run: Run, name: str) -> Iterator[dict[str, np.ndarray]]:
    for image in _some(run):
        try:
            yield {name: preprocess(open_image(run.home.image(image.sha256)), run.how)[None]}
        except (BadImage, OSError):
            continue


def _some(run: Run) -> list[Image]:
    """Training images, each class as often as another as far as there are any."""
    recipe: dict[str, Any] = run.recipe
    try:
        images = Manifest.read(run.home, recipe["dataset"], recipe["version"]).of("train")
    except FileNotFoundError as error:
        raise Unavailable("export_needs_images") from error
    images = [image for image in images if run.home.image(image.sha256).is_file()]
    if not images:
        raise Unavailable("export_needs_images")
    by_class: dict[str, list[Image]] = {}
    for place in np.random.default_rng(0).permutation(len(images)):
        by_class.setdefault(images[place].label, []).append(images[place])
    rounds = (group[turn] for turn in range(LOOKED_AT) for group in by_class.values() if turn < len(group))
    return [image for image, _ in zip(rounds, range(LOOKED_AT), strict=False)]
