"""Numbers and units as text. The only place that turns a fraction into percent.

`approx` marks a number that may differ between machines: notebooks are compared strictly, except for such numbers.
"""

__all__ = ["approx", "bits", "change", "count", "duration", "ms", "percent", "points", "size", "times"]


def count(n: float) -> str:
    """A whole number with separators.

    >>> count(17018)
    '17,018'
    """
    return f"{round(n):,}"


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction in percent.

    >>> percent(0.8714)
    '87.1 %'
    """
    return f"{100 * fraction:.{digits}f} %"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two fractions in percentage points, signed.

    >>> points(-0.0123)
    '-1.2 points'
    """
    value = round(100 * difference, digits) + 0.0
    return f"{value:+.{digits}f} points" if value else f"{0:.{digits}f} points"


def size(n_bytes: float) -> str:
    """Bytes with a decimal unit (1 kB = 1,000 bytes).

    >>> size(2432), size(68072), size(512)
    ('2.43 kB', '68.1 kB', '512 B')
    """
    value, unit = float(n_bytes), "B"
    for bigger in ("kB", "MB", "GB"):
        if value < 999.5:
            break
        value, unit = value / 1000, bigger
    return f"{count(value)} B" if unit == "B" else f"{_three_digits(value)} {unit}"


def bits(n_bits: float) -> str:
    """Bits with their byte count.

    >>> bits(19456)
    '19,456 bits = 2.43 kB'
    """
    return f"{count(n_bits)} bits = {size(n_bits / 8)}"


def ms(milliseconds: float) -> str:
    """A duration in milliseconds.

    >>> ms(9.1234)
    '9.12 ms'
    """
    return f"{_three_digits(milliseconds)} ms"


def duration(seconds: float) -> str:
    """A duration for people.

    >>> duration(9.4), duration(200)
    ('9 s', '3 min 20 s')
    """
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def times(ratio: float) -> str:
    """A ratio.

    >>> times(3.4)
    '3.40x'
    """
    return f"{_three_digits(ratio)}x"


def approx(shown: str) -> str:
    """Mark a number that may differ between machines.

    >>> approx("87.1 %")
    '≈ 87.1 %'
    """
    return f"≈ {shown}"


def change(difference: float, *, n_images: int, flipped: int) -> str:
    """A measured change of accuracy in words: points, images, and how many predictions flipped.

    >>> change(-0.012, n_images=5000, flipped=85)
    '≈ -1.2 points, ≈ 60 of 5,000 images, ≈ 85 flipped'
    """
    images = approx(count(abs(difference) * n_images))
    return f"{approx(points(difference))}, {images} of {count(n_images)} images, {approx(count(flipped))} flipped"


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    return f"{value:.2f}" if magnitude < 9.995 else f"{value:.1f}" if magnitude < 99.95 else f"{value:,.0f}"
