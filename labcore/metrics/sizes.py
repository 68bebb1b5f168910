"""How large a model is: in memory, on paper, and as a file."""

from torch import Tensor, nn

from labcore.metrics.calls import check_model
from labcore.metrics.costs import count_macs, count_nonzero
from labcore.results import Sizes
from labcore.storage import measure_written_bytes, save_model
from labcore.surgery import distinct_parameters

__all__ = ["cost_ratios", "measure_sizes"]


def measure_sizes(model: nn.Module, *, bits: int = 32) -> Sizes:
    """Three sizes of one model; parameters that share storage count once in each.

    Zeros leave the theoretical size, never the dense one, and not the file as it is written here.

    Args:
        model: any module.
        bits: bits of one value in the theoretical size, at least 1.

    Returns:
        Bytes of the parameters as stored; nonzero parameters times `bits`; bytes of a container file, written for this
        in a temporary folder, with parameters, buffers and names.

    Raises:
        TypeError, ValueError: no module; bits that are not a whole number of at least 1.
    """
    check_model(model)
    if not isinstance(bits, int) or isinstance(bits, bool):
        raise TypeError(f"bits must be a whole number, got {bits!r}")
    if bits < 1:
        raise ValueError(f"bits must be at least 1, got {bits}")
    file_bytes = measure_written_bytes(lambda path: save_model(path, model))
    dense_bytes = sum(values.numel() * values.element_size() for values in distinct_parameters(model).values())
    return Sizes(dense_bytes, count_nonzero(model) * bits, file_bytes)

def cost_ratios(model: nn.Module, reference: nn.Module, sample: Tensor) -> tuple[float, float]:
    """Bytes of the file and MACs of `model`, each as a share of those of `reference`.

    Args:
        sample: one batch, shape (N, ...); cast to the precision of each model.
    """
    files, macs = zip(*(_file_and_macs(net, sample) for net in (model, reference)), strict=True)
    return files[0] / files[1], macs[0] / macs[1]


def _file_and_macs(model: nn.Module, sample: Tensor) -> tuple[int, int]:
    precision = next((parameter.dtype for parameter in model.parameters()), sample.dtype)
    return measure_sizes(model).file_bytes, count_macs(model, sample.to(precision))
