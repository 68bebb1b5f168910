"""Eight bits in ONNX Runtime: a large network gains, a tiny one does not. One thread, in turns."""

import tempfile
import time
from pathlib import Path

import torch
import torchvision
from torch import nn

from labcore import data, deploy, metrics, models, quantize, surgery, training

__all__ = ["run"]


def _row(name: str, model: nn.Module, batch: torch.Tensor, folder: Path) -> str:
    paths = [folder / f"{kind}.onnx" for kind in ("float", "static", "dynamic")]
    whole = deploy.export_onnx(surgery.fold_batch_norm(model, batch[:1]), batch[:1], paths[0])
    small = deploy.quantize_onnx_static(paths[0], paths[1], [(batch,)])
    deploy.quantize_onnx_dynamic(paths[0], paths[2], layers="all")
    answers = [deploy.session(path)(batch) for path in paths[:2]]
    error = (answers[1] - answers[0]).norm() / answers[0].norm()
    clocks = metrics.measure_in_turn([deploy.session(path) for path in paths], batch, runs=20, warmup=3)
    full, static, dynamic = (clock.p50_ms for clock in clocks)
    return (
        f"{name:<14}{full:>9.2f}{static:>9.2f}{dynamic:>9.2f}{full / static:>9.2f}x{full / dynamic:>8.2f}x"
        f"{whole.file_bytes / small.file_bytes:>9.2f}x{error:>9.3f}"
    )


def run() -> None:
    """Print times, speed-ups and the reduction of the file; error is that of the logits, static against float."""
    print("int8 against float in ONNX Runtime, batch in brackets, one thread; goal for resnet18: 2x, 3.6x smaller")
    heads = ("float, ms", "static", "dynamic", "static", "dynamic", "smaller", "error")
    print(" " * 14 + "".join(f"{head:>{width}}" for head, width in zip(heads, (9, 9, 9, 10, 9, 10, 9), strict=True)))
    torch.manual_seed(0)
    cases = {
        "resnet18 (1)": (torchvision.models.resnet18(weights=None).eval(), torch.rand(1, 3, 224, 224)),
        "lab_cnn (1)": (models.load_model("lab_cnn"), torch.rand(1, 1, 14, 14)),
        "lab_cnn (50)": (models.load_model("lab_cnn"), torch.rand(50, 1, 14, 14)),
    }
    for name, (model, batch) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            print(_row(name, model, batch, Path(folder)))
    _time_whole_numbers()


def _time_whole_numbers() -> None:
    """The integer-only network of labcore, written to be read: how long it takes for all test images."""
    garments = data.load_dataset("fashion14")
    folded = surgery.fold_batch_norm(models.load_model("lab_cnn"), garments.test_images[:1])
    static = quantize.apply_static(folded, [garments.train_images[:500]], quantize.QuantConfig())
    network = quantize.convert(static, garments.test_images[:1])
    started = time.perf_counter()
    accuracy = training.evaluate(network, garments.batches()).accuracy
    seconds = time.perf_counter() - started
    print(f"lab_cnn in whole numbers, 5,000 images: {seconds:.1f} s (goal 10 s), {100 * accuracy:.1f} % right")
