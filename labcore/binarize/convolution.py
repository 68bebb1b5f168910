"""Convolution of signs on packed bits: channels of a pixel share words, and patches are read where they lie."""

import operator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from labcore.binarize.kernels import Columns, Way, fill_product, pack_images
from labcore.binarize.packing import check_numbers, pack_signs, raise_nan

__all__ = ["Border", "PackedFilters", "PackedInputs", "pack_filters", "pack_inputs", "packed_conv2d"]

Border = Literal["zero", "one"]


@dataclass(frozen=True, eq=False)
class PackedFilters:
    """Signs of the weight of a convolution.

    Attributes:
        words: uint64, shape (out, kh * kw * words of a pixel): the channels of one tap stand together.
        tap_sums: sum of the signs of each tap, int32, shape (out, kh, kw).
        shape: of the weight, (out, channels of a group, kh, kw).
    """

    words: np.ndarray
    tap_sums: np.ndarray
    shape: tuple[int, int, int, int]

    @property
    def n_products(self) -> int:
        """K: products that one output adds up."""
        return self.shape[1] * self.shape[2] * self.shape[3]


def pack_filters(weight: np.ndarray) -> PackedFilters:
    """Pack the signs of a weight once, for any number of calls of `packed_conv2d`.

    Args:
        weight: real or whole numbers, shape (out, channels of a group, kh, kw).

    Raises:
        TypeError: no array, or a type without negative numbers.
        ValueError: NaN, not four dimensions, or a dimension of 0.
    """
    check_numbers(weight, "weight", 4)
    if 0 in weight.shape:
        raise ValueError(f"weight must hold weights, got shape {weight.shape}")
    n_out, n_channels, *kernel = weight.shape
    packed = pack_signs(weight.transpose(0, 2, 3, 1).reshape(-1, n_channels))
    negative = np.bitwise_count(packed.words).sum(1, dtype=np.int32)
    return PackedFilters(
        packed.words.reshape(n_out, -1), (n_channels - 2 * negative).reshape(n_out, *kernel), weight.shape
    )


@dataclass(frozen=True, eq=False)
class PackedInputs:
    """Signs of images, ready for any convolution with this padding and these groups.

    Attributes:
        planes: uint64, shape (N, groups, words of a pixel, padded H, padded W); the border is +1.
        n_channels: of all groups.
        padding: (vertical, horizontal).
    """

    planes: np.ndarray
    n_channels: int
    padding: tuple[int, int]

    @property
    def groups(self) -> int:
        return self.planes.shape[1]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the images, (N, C, H, W)."""
        height, width = (n - 2 * p for n, p in zip(self.planes.shape[3:], self.padding, strict=True))
        return len(self.planes), self.n_channels, height, width


def pack_inputs(
    inputs: np.ndarray, *, padding: int | tuple[int, int] = 0, groups: int = 1, threads: int | None = None
) -> PackedInputs:
    """Pack the signs of images: 64 channels of a pixel to a word.

    Args:
        inputs: real or whole numbers, shape (N, C, H, W); float32 is fastest.
        padding, groups: of the convolution that will read them.
        threads: None: as many as `runtime.threads` says.

    Raises:
        TypeError, ValueError: see `packed_conv2d`.
    """
    check_numbers(inputs, "inputs", 4)
    padding = _pair("padding", padding, 0)
    n, n_channels, height, width = inputs.shape
    if not isinstance(groups, int) or groups < 1 or n_channels % groups:
        raise ValueError(f"groups must be a whole number that divides {n_channels} channels, got {groups!r}")
    if inputs.dtype != np.float32:
        if np.isnan(inputs).any():
            raise_nan("inputs")
        inputs = np.where(inputs < 0, np.float32(-1), np.float32(1))
    of_group = n_channels // groups
    x = np.ascontiguousarray(inputs).reshape(n * groups, of_group, height * width)
    padded = (size + 2 * border for size, border in zip((height, width), padding, strict=True))
    planes = np.zeros((n * groups, -(-of_group // 64), *padded), np.uint64)
    if pack_images(x, planes, width, padding, threads=threads):
        raise_nan("inputs")
    return PackedInputs(planes.reshape(n, groups, *planes.shape[1:]), n_channels, padding)


@dataclass(frozen=True)
class _Geometry:
    """Where a convolution reads: heights first, widths second."""

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def padded(self) -> tuple[int, int]:
        return tuple(n + 2 * border for n, border in zip(self.size, self.padding, strict=True))

    @property
    def out(self) -> tuple[int, int]:
        sizes = zip(self.padded, self.kernel, self.stride, self.dilation, strict=True)
        return tuple((n - dilation * (k - 1) - 1) // stride + 1 for n, k, stride, dilation in sizes)

    def reads(self, axis: int) -> np.ndarray:
        """Places in the padded image, shape (taps, outputs)."""
        taps = self.dilation[axis] * np.arange(self.kernel[axis], dtype=np.int64)
        return taps[:, None] + self.stride[axis] * np.arange(self.out[axis], dtype=np.int64)

    def inside(self, axis: int) -> np.ndarray:
        """True where a tap meets the image, not its border; shape (taps, outputs)."""
        places = self.reads(axis) - self.padding[axis]
        return (places >= 0) & (places < self.size[axis])


def packed_conv2d(
    inputs: np.ndarray | PackedInputs,
    filters: PackedFilters,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    pad: Border = "zero",
    way: Way = "lanes",
    threads: int | None = None,
) -> np.ndarray:
    """Convolution of sign(inputs) with sign(weight): K - 2 popcount(xor), exact for every setting.

    A bit cannot be 0, so a border of zeros is computed as one of +1; what that adds is taken off afterwards. Channels
    of a group share words of 64: with fewer, words are partly empty.

    Args:
        inputs: real or whole numbers, shape (N, C, H, W), or what `pack_inputs` made of them with the same padding
            and groups; float32 is fastest.
        filters: from `pack_filters`.
        stride, padding, dilation: one number, or (vertical, horizontal).
        groups: that divide inputs and filters.
        pad: "zero": as torch does; "one": the border counts as +1, and nothing is taken off.
        way: "lanes" counts eight places at once, "plain" one word after another; both are exact.
        threads: None: as many as `runtime.threads` says.

    Returns:
        int32, shape (N, out, H', W').

    Raises:
        TypeError: no array, a type without negative numbers, other filters, settings that are not whole.
        ValueError: NaN, not four dimensions, settings out of range, channels that do not fit, a kernel larger than
            the padded image.

    Source: M. Rastegari et al., arXiv 1603.05279v4, section 3.2.
    """
    if not isinstance(inputs, PackedInputs):
        check_numbers(inputs, "inputs", 4)
    if pad not in get_args(Border):
        raise ValueError(f"pad must be one of {', '.join(get_args(Border))}; got {pad!r}")
    geometry = _geometry(inputs.shape, filters, stride, padding, dilation)
    _check_groups(inputs.shape[1], filters, groups)
    if not isinstance(inputs, PackedInputs):
        inputs = pack_inputs(inputs, padding=geometry.padding, groups=groups, threads=threads)
    if (inputs.padding, inputs.groups) != (geometry.padding, groups):
        raise ValueError(
            f"inputs are packed for padding {inputs.padding} and {inputs.groups} groups, asked for are "
            f"{geometry.padding} and {groups}"
        )
    n_out = len(filters.words) // groups
    out = np.empty((len(inputs.planes), len(filters.words), geometry.out[0] * geometry.out[1]), np.int32)
    for group in range(groups):
        filled = slice(group * n_out, (group + 1) * n_out)
        columns = _patches(inputs.planes, group, geometry)
        fill_product(filters.words[filled], columns, filters.n_products, out[:, filled], way=way, threads=threads)
    if pad == "zero" and any(geometry.padding):
        out -= _border_sums(filters, geometry)
    return out.reshape(len(out), len(filters.words), *geometry.out)


def _patches(planes: np.ndarray, group: int, geometry: _Geometry) -> Columns:
    """What each output reads, as columns; words in the order of `PackedFilters.words`."""
    n, groups, n_words, height, width = planes.shape
    area = height * width
    images = (np.arange(n, dtype=np.int64) * groups + group) * n_words * area
    rows, columns = (geometry.reads(axis) for axis in (0, 1))
    starts = images[:, None, None] + rows[0][:, None] * width + columns[0]
    taps = rows[:, :1, None] * width + columns[:, 0][:, None] + np.arange(n_words) * area
    return Columns(planes.ravel(), starts.ravel(), taps.ravel())


def _border_sums(filters: PackedFilters, geometry: _Geometry) -> np.ndarray:
    """What a border of +1 adds to each output: the signs of the taps that meet it; int32, shape (out, H' * W')."""
    # Taps inside the image: a product for rows and one for columns, in doubles, where whole numbers are exact.
    rows, columns = (geometry.inside(axis).astype(np.float64) for axis in (0, 1))
    taps = filters.tap_sums.astype(np.float64)
    inside = rows.T @ (taps @ columns)
    return (taps.sum((1, 2))[:, None] - inside.reshape(len(taps), -1)).astype(np.int32)


# --- arguments ------------------------------------------------------------------------------------


def _geometry(shape: tuple[int, ...], filters: PackedFilters, stride, padding, dilation) -> _Geometry:
    if not isinstance(filters, PackedFilters):
        raise TypeError(f"filters must come from pack_filters, got {type(filters).__name__}")
    settings = _pair("stride", stride, 1), _pair("padding", padding, 0), _pair("dilation", dilation, 1)
    geometry = _Geometry(shape[2:], filters.shape[2:], *settings)
    if min(geometry.out) < 1:
        raise ValueError(
            f"a kernel {filters.shape[2:]} with dilation {settings[2]} is larger than the padded image "
            f"{geometry.padded}; pad more, or take larger images"
        )
    return geometry


def _pair(name: str, value: int | tuple[int, int], least: int) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{name} must be a number or two, got {value!r}")
    try:
        pair = operator.index(values[0]), operator.index(values[1])
    except TypeError:
        raise TypeError(f"{name} must be whole, got {value!r}") from None
    if min(pair) < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    return pair


def _check_groups(n_channels_in: int, filters: PackedFilters, groups: int) -> None:
    n_out, n_channels, *_ = filters.shape
    if not isinstance(groups, int) or groups < 1 or n_out % groups:
        raise ValueError(f"groups must be a whole number that divides {n_out} filters, got {groups!r}")
    if n_channels_in != n_channels * groups:
        raise ValueError(
            f"{groups} groups of filters with {n_channels} channels need inputs with {n_channels * groups} channels, "
            f"got {n_channels_in}"
        )
