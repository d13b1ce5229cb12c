"""Which engine runs a frozen backbone fastest on this processor, how exact is it, and what does it cost to have it?

    pip install openvino                        # or without: then PyTorch and ONNX Runtime only
    python bench/engines.py tf_efficientnet_lite0 resnet18 vit_tiny_patch16_224

All cores are kept busy, one image at a time on each. The engines take turns. Images and weights are random: the time does not
depend on them. Differences are relative to the largest feature.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import timm
import torch

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
IMAGES, REPEATS = 48, 5
Run = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    torch.set_num_threads(1)
    print("| model | engine | ready after, s | ms an image and core | against ONNX Runtime | largest difference |")
    print("|---|---|---|---|---|---|")
    for name in sys.argv[1:] or ["tf_efficientnet_lite0"]:
        compare(name)


def compare(name: str) -> None:
    model = timm.create_model(name, num_classes=0).eval()
    images = np.random.default_rng(0).normal(size=(IMAGES, 1, *model.default_cfg["input_size"])).astype(np.float32)
    engines: dict[str, tuple[float, Run]] = {}
    for engine, make in (("PyTorch, channels_last", eager), ("ONNX Runtime", onnx_runtime), ("OpenVINO, from PyTorch", openvino)):
        began = time.perf_counter()
        run = make(model, images[0])
        if run is not None:
            run(images[0])
            engines[engine] = time.perf_counter() - began, run
    truth = np.stack([engines["PyTorch, channels_last"][1](image) for image in images[:4]])
    times: dict[str, list[float]] = {engine: [] for engine in engines}
    for repeat in range(REPEATS):
        for engine in list(engines) if repeat % 2 else list(engines)[::-1]:
            times[engine].append(all_cores(engines[engine][1], images))
    for engine, (ready, run) in engines.items():
        wrong = np.abs(np.stack([run(image) for image in images[:4]]) - truth).max() / np.abs(truth).max()
        ratios = [one / other for one, other in zip(times[engine], times["ONNX Runtime"], strict=True)]
        print(f"| {name} | {engine} | {ready:.1f} | {statistics.median(times[engine]):.1f} | "
              f"{statistics.median(ratios):.2f} ({min(ratios):.2f} – {max(ratios):.2f}) | {wrong:.0e} |", flush=True)


def all_cores(run: Run, images: np.ndarray) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(run, images))
    return 1000 * (time.perf_counter() - began) * CORES / len(images)


def eager(model: torch.nn.Module, image: np.ndarray) -> Run:
    fast = model.to(memory_format=torch.channels_last)

    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return fast(torch.from_numpy(image).contiguous(memory_format=torch.channels_last)).numpy()

    return run


def onnx_runtime(model: torch.nn.Module, image: np.ndarray) -> Run:
    import onnxruntime

    from transfer_core.training.onnx_file import as_exported

    written = io.BytesIO()
    with as_exported(model):
        torch.onnx.export(model, (torch.from_numpy(image),), written, dynamo=False, opset_version=17, input_names=["images"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(written.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"images": image})[0]


def openvino(model: torch.nn.Module, image: np.ndarray) -> Run | None:
    try:
        import openvino as ov
    except ImportError:
        return None
    converted = ov.convert_model(model, example_input=torch.from_numpy(image), input=list(image.shape))
    settings = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(CORES), "INFERENCE_NUM_THREADS": str(CORES),
                "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(converted, "CPU", settings)

    def run(image: np.ndarray) -> np.ndarray:
        request = compiled.create_infer_request()
        return request.infer({0: image})[0]

    return run


if __name__ == "__main__":
    main()
