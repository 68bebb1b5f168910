"""What becomes of a binary layer's weights and inputs: the settings that all ways share."""

from dataclasses import dataclass
from typing import Literal, get_args

from labcore.binarize.codes import Share
from labcore.binarize.signs import Estimator

__all__ = ["ActivationRule", "AlphaRule", "BinaryConfig", "WeightRule"]

WeightRule = Literal["binary", "stochastic", "ternary", "trained_ternary", "real"]
AlphaRule = Literal["mean", "learned", "none"]
ActivationRule = Literal["real", "binary", "shifted"]


@dataclass(frozen=True)
class BinaryConfig:
    """Settings of the layers that `apply_binary` replaces. The defaults are those of a Binary-Weight-Network.

    Attributes:
        weights: "binary" {-1, +1}; "stochastic" draws them in training with the probability `hard_sigmoid`, and
            computes with the real weights in evaluation (BinaryConnect); "ternary" {-1, 0, +1} (TWN);
            "trained_ternary" {-Wn, 0, +Wp} with two sizes that training finds (TTQ); "real" leaves them.
        alpha: what binary and ternary weights are multiplied with: "mean" of the magnitudes, "learned" from there,
            "none" is 1.
        share: one alpha for each "filter", or for the "layer".
        factor: Delta over the mean magnitude for "ternary" (default 0.7), over the largest one for "trained_ternary"
            (default 0.05).
        activations: "real"; "binary" takes the sign of what the layer reads; "shifted" does so after a shift for each
            channel that training finds (RSign of ReActNet).
        estimator: stands in for the gradient of that sign, see `surrogate_slope`.
        scale_inputs: "none", or "k_map" multiplies outputs with the size of the inputs that each position reads
            (XNOR-Net's K); for convolutions in two dimensions, and for linear layers the mean |x| of the sample.

    Raises:
        ValueError: an unknown setting (the message lists the valid ones), a factor below 0, or two settings that do
            not go together.
    """

    weights: WeightRule = "binary"
    alpha: AlphaRule = "mean"
    share: Share = "filter"
    factor: float | None = None
    activations: ActivationRule = "real"
    estimator: Estimator = "window"
    scale_inputs: Literal["none", "k_map"] = "none"

    def __post_init__(self):
        choices = {
            "weights": WeightRule, "alpha": AlphaRule, "share": Share, "activations": ActivationRule,
            "estimator": Estimator, "scale_inputs": Literal["none", "k_map"],
        }  # fmt: skip
        for name, valid in choices.items():
            if getattr(self, name) not in get_args(valid):
                raise ValueError(f"{name} must be one of {', '.join(get_args(valid))}; got {getattr(self, name)!r}")
        if self.factor is not None and not self.factor >= 0:
            raise ValueError(f"factor must be at least 0, got {self.factor!r}")
        if self.weights == "stochastic" and self.alpha != "none":
            raise ValueError("stochastic weights are -1 and +1 while they are drawn; say alpha='none'")
        if self.scale_inputs == "k_map" and self.activations == "real":
            raise ValueError("scale_inputs='k_map' makes up for what a sign takes away, but activations are real")
