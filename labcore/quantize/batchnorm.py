"""Batch norm on few bits: its four tensors stored as a layer's weights are, one scale each."""

import copy
import warnings

import torch
from torch import nn

from labcore.quantize.formats import NumberFormat
from labcore.quantize.grids import fake_quantize, fit_grid
from labcore.runtime import NoEffectWarning

__all__ = ["apply_batch_norm_bits"]

_STORED = ("weight", "bias", "running_mean", "running_var")


@torch.no_grad()
def apply_batch_norm_bits(model: nn.Module, bits: int) -> nn.Module:
    """A copy whose batch norms hold gamma, beta, running mean and running variance on few bits, one grid a tensor.

    All else stays in float: what is lost is lost by batch norm. The variances of one layer may lie a factor of hundreds
    apart; small ones round to zero, and their channels are then multiplied by 1 / sqrt(eps).

    Args:
        model: any module with batch norm; left as it was.
        bits: 1 to 16, on affine grids from the smallest to the largest value and 0.

    Raises:
        TypeError, ValueError: no module; bits that are no whole number from 1 to 16; NaN or infinity in a batch norm
            (the message names it).
        NoEffectWarning (a warning): there is no batch norm.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    format = NumberFormat(bits, "affine", signed=False)
    model = copy.deepcopy(model)
    norms = {name: each for name, each in model.named_modules() if isinstance(each, nn.modules.batchnorm._NormBase)}
    for name, norm in norms.items():
        for stored in _STORED:
            if (values := getattr(norm, stored)) is not None:
                try:
                    values.copy_(fake_quantize(values, fit_grid(values, format)))
                except ValueError as error:
                    raise ValueError(f"the {stored} of {name!r} cannot be quantized: {error}") from error
    if not norms:
        warnings.warn(
            f"no batch norm of {type(model).__name__} was quantized, as it has none; is it folded already?",
            NoEffectWarning,
            stacklevel=2,
        )
    return model
