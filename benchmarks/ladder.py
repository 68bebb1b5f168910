"""The speech network of Vanhoucke et al. 2011 in eleven ways, from a plain loop to eight bits; one thread, in turns."""

from labcore import deploy

__all__ = ["run"]


def run() -> None:
    """Print the time of a frame, the speed-up over the plain loop, and the error, on every rung."""
    ladder = deploy.measure_ladder(runs=10)
    widths = "-".join(map(str, ladder.widths))
    print(f"{widths}, {ladder.macs / 1e6:.1f} million MACs a frame; goals: best int8 10x, lazy 1.2x on its own")
    print(f"{'':<28}{'ms a frame':>11}{'speed-up':>10}{'error':>10}")
    for rung in ladder.rungs:
        print(f"{rung.name:<28}{rung.frame_ms:>11.2f}{ladder.speedup(rung.name):>9.1f}x{rung.max_error:>10.1e}")
    for name, over in (("int8, lazy", "int8"), ("int8, lazy, batch", "int8, batch")):
        print(f"{name} against {over}: {ladder.speedup(name, over=over):.2f}x")
