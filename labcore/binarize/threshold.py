"""Batch norm followed by a sign is one comparison of whole numbers for each channel."""

from dataclasses import dataclass

import numpy as np

__all__ = ["SignThresholds", "apply_sign_thresholds", "fold_sign_thresholds"]

_LARGEST = 2**31 - 1


@dataclass(frozen=True, eq=False)
class SignThresholds:
    """The sign is -1 where (sum < limit) differs from `flipped`, else +1.

    Attributes:
        limit: int32, one for each channel; where it is -(2**31 - 1), every sum has the same sign.
        flipped: bool, one for each channel: True where larger sums have the sign -1.
    """

    limit: np.ndarray
    flipped: np.ndarray


def fold_sign_thresholds(
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    eps: float,
    *,
    scale: np.ndarray | float = 1,
) -> SignThresholds:
    """Thresholds that give, for every sum, the sign of batch norm computed in float32.

    slope = gamma * (1 / sqrt(variance + eps)), shift = beta - mean * slope and x = scale * sum are rounded to float32
    at each step, as in PyTorch; y = x * slope + shift is rounded once, as processors with fused multiply-add do.
    Rounding keeps the order of numbers, so y rises or falls with the sum. Its border is found by halving the range of
    32-bit sums: no formula for it could be off by one.

    Args:
        gamma, beta, mean, variance: of the batch norm, shape (channels,).
        eps: added to the variance.
        scale: alpha, by which the layer multiplies its sums: at least 0, shape (channels,) or one number.

    Raises:
        TypeError: other than arrays of real numbers.
        ValueError: shapes that differ; a negative variance or scale; no finite slope or shift.

    Source: Y. Umuroglu et al., arXiv 1612.07119, section 4.2.2.
    """
    slope, shift, scale = _line(gamma, beta, mean, variance, eps, scale)
    # A sum that rises always gives a y that does not fall; a negative slope turns it around.
    flipped = slope < 0
    below, above = np.full(slope.shape, -_LARGEST - 1, np.int64), np.full(slope.shape, _LARGEST + 1, np.int64)
    while (above - below > 1).any():
        middle = (below + above) // 2
        negative = _batch_norm(middle, slope, shift, scale) < 0
        before = negative != flipped
        below, above = np.where(before, middle, below), np.where(before, above, middle)
    never = above > _LARGEST
    return SignThresholds(np.where(never, -_LARGEST, above).astype(np.int32), flipped != never)


def apply_sign_thresholds(sums: np.ndarray, thresholds: SignThresholds) -> np.ndarray:
    """Signs of batch norm, without computing it.

    Args:
        sums: int32, shape (N, channels, ...), none of them -2**31.
        thresholds: of as many channels.

    Returns:
        int8, -1 and +1, shape of `sums`.

    Raises:
        TypeError: sums that are not int32.
        ValueError: other channels.
    """
    if not (isinstance(sums, np.ndarray) and sums.dtype == np.int32):
        raise TypeError(f"sums must be an array of int32, got {getattr(sums, 'dtype', type(sums).__name__)}")
    n_channels = len(thresholds.limit)
    if sums.ndim < 2 or sums.shape[1] != n_channels:
        raise ValueError(f"sums must have shape (N, {n_channels}, ...), got {sums.shape}")
    shape = (n_channels, *(1,) * (sums.ndim - 2))
    negative = (sums < thresholds.limit.reshape(shape)) != thresholds.flipped.reshape(shape)
    return 1 - 2 * negative.astype(np.int8)


def _batch_norm(sums: np.ndarray, slope: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    # In doubles the product is exact, and the sum keeps its sign.
    return (scale * sums.astype(np.float32)).astype(np.float64) * slope + shift


def _line(gamma, beta, mean, variance, eps, scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, shift and scale of each channel, float32."""
    arrays = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    for name, array in arrays.items():
        if not (isinstance(array, np.ndarray) and array.dtype.kind == "f"):
            kind = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"{name} must be an array of real numbers, got {kind}")
        if array.ndim != 1 or array.shape != gamma.shape:
            raise ValueError(f"{name} must have shape (channels,), as gamma with {gamma.shape}; got {array.shape}")
    scale = np.asarray(scale, np.float32)
    if scale.shape not in ((), gamma.shape):
        raise ValueError(f"scale must be one number or have shape {gamma.shape}, got {scale.shape}")
    if not ((variance >= 0).all() and (scale >= 0).all()):
        raise ValueError("variance and scale must be at least 0; a negative scale belongs into gamma")
    gamma, beta, mean, variance = (array.astype(np.float32) for array in arrays.values())
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope = gamma * (np.float32(1) / np.sqrt(variance + np.float32(eps)))
        shift = beta - mean * slope
        ends = _batch_norm(np.array([[_LARGEST]]), slope, shift, scale)
    if not np.isfinite(ends).all():
        raise ValueError("batch norm gives no finite numbers; are all values finite, and is variance + eps above 0?")
    return slope, shift, np.broadcast_to(scale, slope.shape)
