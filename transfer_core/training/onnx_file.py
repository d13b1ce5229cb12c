"""A trained model as one ONNX file that carries everything but the pixels: class names, preprocessing, where it is from."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from transfer_core.images import Preprocessing
from transfer_core.paths import replacing
from transfer_core.predictor import FORMAT

OPSET = 20
QUICK_OPSET = 17
"""The newest that the older exporter writes without a warning."""
INPUT, OUTPUT, LIKENESS = "images", "logits", "likeness"
log = logging.getLogger(__name__)


def write_onnx(model: nn.Module, how: Preprocessing, facts: dict[str, Any], file: Path, *more: str, quick: bool = False) -> None:
    """Write `model` (in eval mode, on the processor): float32 `images` N × 3 × H × W → `logits` N × classes, and what else it
    gives, under the names in `more`.

    `facts` become metadata, each value as JSON, beside `input`, `output` and `opset`. `quick` takes torch's older exporter
    first: 0.4 s instead of 3 to 6 (EfficientNet-Lite0). It is deprecated, so not for files that go out into the world.
    Raises what torch.onnx raises for a model it cannot translate.
    """
    if quick:
        try:
            _write_quickly(model.eval().cpu(), how, facts, file)
            return
        except Exception as error:  # noqa: BLE001 — an operation it does not know; the other one may
            log.info("not with the quick exporter: %r", error)
    program = _translate(model.eval().cpu(), how, [OUTPUT, *more])
    written = program.model
    # torch notes the source line of every operation: paths of this machine, and a tenth of a small file.
    for node in written.graph.all_nodes():
        node.metadata_props.clear()
    for value in [*written.graph.inputs, *written.graph.outputs, *written.graph.initializers.values()]:
        value.metadata_props.clear()
    written.graph.metadata_props.clear()
    written.metadata_props.clear()
    written.metadata_props["format"] = FORMAT
    written.metadata_props.update(_metadata(facts, OPSET))
    with replacing(file) as part:
        program.save(str(part), external_data=False)


def _write_quickly(model: nn.Module, how: Preprocessing, facts: dict[str, Any], file: Path) -> None:
    import onnx

    raw = io.BytesIO()
    with as_exported(model):
        torch.onnx.export(model, (torch.zeros(1, 3, *how.size),), raw, dynamo=False, opset_version=QUICK_OPSET,
                          input_names=[INPUT], output_names=[OUTPUT], dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}})
    written = onnx.load_model_from_string(raw.getvalue())
    onnx.helper.set_model_props(written, {"format": FORMAT, **_metadata(facts, QUICK_OPSET)})
    with replacing(file) as part:
        onnx.save_model(written, str(part))


def _metadata(facts: dict[str, Any], opset: int) -> dict[str, str]:
    return {name: json.dumps(fact, ensure_ascii=False)
            for name, fact in {**facts, "input": INPUT, "output": OUTPUT, "opset": opset}.items()}


def _translate(model: nn.Module, how: Preprocessing, outputs: list[str]) -> Any:
    options: dict[str, Any] = {"dynamo": True, "optimize": True, "opset_version": OPSET, "input_names": [INPUT],
                               "output_names": outputs, "verbose": False}
    with as_exported(model):
        try:
            batch = torch.export.Dim("batch", min=1)
            return torch.onnx.export(model, (torch.zeros(2, 3, *how.size),), dynamic_shapes=({0: batch},), **options)
        except Exception:  # noqa: BLE001 — some models fix the batch size while they are traced; one image always fits
            return torch.onnx.export(model, (torch.zeros(1, 3, *how.size),), **options)


@contextmanager
def as_exported(model: nn.Module) -> Iterator[None]:
    """In-place activations are undone in the graph one by one: without them the export of EfficientNet-Lite0 takes 3 s, not 6."""
    in_place = [module for module in model.modules() if getattr(module, "inplace", False) is True]
    for module in in_place:
        module.inplace = False
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        for module in in_place:
            module.inplace = True
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
