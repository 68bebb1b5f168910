"""Quantization-aware training: the model of `apply_static`, trained on with `training.fit` by a careful schedule."""

from dataclasses import replace

from labcore.training import TrainConfig

__all__ = ["aware_config"]


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
