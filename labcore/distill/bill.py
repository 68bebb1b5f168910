"""What training and answering cost, in MACs."""

import copy

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from labcore.metrics import count_macs
from labcore.results import BillItem

__all__ = ["bill_answers", "bill_training"]


def bill_training(what: str, model: nn.Module, sample: Tensor, *, n_images: int, seconds: float) -> BillItem:
    """What it cost to train a model: forward and backward MACs of `n_images` images, updates of the weights left out.

    The backward pass is counted, not guessed: about twice the forward pass, less for the first layer.

    Args:
        what: in words.
        model: left as it was.
        sample: one batch, shape (N, ...), to count with.
        n_images: images that passed, over all epochs.
        seconds: wall time.

    Raises:
        TypeError, ValueError: see `metrics.count_macs`; a model without parameters to train.
    """
    forward = count_macs(model, sample)
    return BillItem(what, n_images, seconds, n_images * forward, n_images * _backward_macs(model, sample))


def bill_answers(what: str, model: nn.Module, sample: Tensor, *, n_images: int, seconds: float) -> BillItem:
    """What it cost to let a model answer: forward MACs only. Arguments as in `bill_training`."""
    return BillItem(what, n_images, seconds, n_images * count_macs(model, sample), 0)


def _backward_macs(model: nn.Module, sample: Tensor) -> int:
    """Of one sample, by PyTorch's own counter, in evaluation mode (as a batch of one has no batch statistics)."""
    model = copy.deepcopy(model).eval()
    outputs = model(sample)
    if not outputs.requires_grad:
        raise ValueError(f"{type(model).__name__} has no parameters to train; bill its answers instead")
    with FlopCounterMode(display=False) as counter:
        outputs.sum().backward()
    return round(counter.get_total_flops() / 2 / len(sample))
