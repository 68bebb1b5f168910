"""Quantization-aware training: the model of `apply_static`, trained on with `training.fit` by a careful schedule."""

from dataclasses import replace

from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from labcore import runtime
from labcore.quantize.config import QuantConfig
from labcore.quantize.formats import int_format
from labcore.quantize.post_training import apply_static
from labcore.training import TrainConfig

__all__ = ["AWARE_BITS", "aware_config", "load_aware"]

# Bits of weights and activations with which `lab_cnn` was trained.
AWARE_BITS = (8, 4, 3, 2)


def aware_config(training: TrainConfig) -> TrainConfig:
    """Settings to fine-tune a quantized model, from those that trained it in float.

    A tenth of the epochs (at least one), from 1 % of the learning rate along a cosine to 1 % of that; all else as it
    was. The ranges of activations stay as they were calibrated.

    >>> aware_config(TrainConfig(epochs=90, learning_rate=0.1))
    TrainConfig(epochs=9, learning_rate=0.001, optimizer='adam', schedule='cosine', momentum=0.9, weight_decay=0.0, \
seed=0, final_share=0.01)

    Source: H. Wu et al., arXiv 2004.09602, section 7; user guide of NVIDIA's pytorch-quantization.
    """
    epochs = max(1, round(training.epochs / 10))
    return replace(
        training, epochs=epochs, learning_rate=training.learning_rate / 100, schedule="cosine", final_share=0.01
    )


def load_aware(model: nn.Module, sample: Tensor) -> dict[int, nn.Module]:
    """The shipped `lab_cnn` that were trained with their rounding by `aware_config`, by bits; in evaluation mode.

    Weights have one scale a channel; the ranges of activations are the largest values of the training images.

    Args:
        model: `lab_cnn` with its batch norms folded; left as it was.
        sample: one image, to follow the operations.

    Raises:
        RuntimeError: the shipped weights do not fit the model.
    """
    networks = {}
    for bits in AWARE_BITS:
        config = QuantConfig(weights=int_format(bits), activations=int_format(bits))
        networks[bits] = apply_static(model, [sample], config).eval()
        networks[bits].load_state_dict(load_tensors(runtime.read_shipped(f"lab_cnn-aware-{bits}.safetensors")))
    return networks
