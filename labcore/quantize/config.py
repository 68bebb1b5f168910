"""What is put on which grid: the settings that all ways to quantize a model share."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from labcore.quantize.calibration import Calibration, make_observer
from labcore.quantize.formats import INT8, NumberFormat
from labcore.quantize.granularity import PER_CHANNEL, PER_TENSOR, Granularity

__all__ = ["QuantConfig"]


@dataclass(frozen=True)
class QuantConfig:
    """Formats and ranges of a quantized model. The defaults are NVIDIA's first choice, 8 bits everywhere.

    Attributes:
        weights: format of the weights; None leaves them in float.
        activations: format of what layers read; None leaves it in float.
        granularity: which weights share a scale; their range is the largest magnitude.
        calibration: how the static way finds the range of activations (see `make_observer`).
        percentile: for the calibration "percentile", in [50, 100].
        after_relu: "unsigned" gives values that cannot be negative (after ReLU or sigmoid, of images) all codes in
            the schemes "symmetric" and "full"; "signed" leaves them the format of the others, half of it unused.
        output: format of the model's outputs in the static way; None leaves them in float. Ties between coarse
            outputs would decide the class, and no layer reads them: few bits gain nothing here.
        activation_granularity: `PER_TENSOR`, or in the dynamic way `PER_TOKEN`.
        overrides: by name of a layer, another format of its weight; None leaves the layer in float.

    Raises:
        TypeError, ValueError: something else than a format, a granularity, a calibration.

    Source: H. Wu et al., arXiv 2004.09602, section 7.
    """

    weights: NumberFormat | None = INT8
    activations: NumberFormat | None = INT8
    granularity: Granularity = PER_CHANNEL
    calibration: Calibration = "max"
    percentile: float = 99.99
    after_relu: Literal["unsigned", "signed"] = "unsigned"
    output: NumberFormat | None = INT8
    activation_granularity: Granularity = PER_TENSOR
    overrides: Mapping[str, NumberFormat | None] = field(default_factory=dict)

    def __post_init__(self):
        formats = {"weights": self.weights, "activations": self.activations, "output": self.output}
        formats |= {f"overrides[{name!r}]": each for name, each in self.overrides.items()}
        for name, each in formats.items():
            if each is not None and not isinstance(each, NumberFormat):
                raise TypeError(f"{name} must be a NumberFormat such as int_format(bits=4), or None; got {each!r}")
        for name in ("granularity", "activation_granularity"):
            if not isinstance(getattr(self, name), Granularity):
                raise TypeError(f"{name} must be a Granularity such as PER_TENSOR, got {getattr(self, name)!r}")
        if self.granularity.kind == "token":
            raise ValueError("weights are quantized per tensor, per channel or per group, not per token")
        if self.activation_granularity.kind not in ("tensor", "token"):
            raise ValueError(
                f"activations are quantized per tensor or per token, got {self.activation_granularity.name}"
            )
        if self.after_relu not in ("unsigned", "signed"):
            raise ValueError(f"after_relu must be 'unsigned' or 'signed', got {self.after_relu!r}")
        make_observer(self.calibration, percentile=self.percentile)

    def without_sign(self, format: NumberFormat) -> NumberFormat:
        """The format in which values of this format are kept where they cannot be negative."""
        has_twin = format.scheme in ("symmetric", "full") and self.after_relu == "unsigned"
        return replace(format, signed=False) if has_twin else format

    def weight_format(self, layer: str) -> NumberFormat | None:
        """Format of one layer's weight."""
        return self.overrides.get(layer, self.weights)
