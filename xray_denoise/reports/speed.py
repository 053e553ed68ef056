"""How fast methods are, as tables: beside each other on one image, and on images of many sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

from xray_denoise.reports.tables import Column, Report, Row, Table

Facts = tuple[tuple[str, str], ...]

SPEED = "Speed"
GROWTH_SECONDS, GROWTH_RATE, GROWTH_MEMORY = "Seconds", "Megapixels a second", "Peak memory, MiB"
NOTE_PEAK = "The peak is the highest rate over the rounds of torch's product of matrices or 3x3 convolution."
NOTE_ONE_CORE = "Classical methods compute on one core, networks on the threads that are named above."


@dataclass(frozen=True, slots=True)
class Speed:
    """One row of the table of speeds; None where there is nothing to show."""

    title: str
    seconds: tuple[float, float, float] | None
    """Median, smallest and largest over the rounds."""
    megapixels: float | None = None
    """A second, of 10^6 pixels."""
    memory: float | None = None
    """MiB."""
    device_memory: float | None = None
    """MiB."""
    psnr: float | None = None
    """dB."""
    share: float | None = None
    """Of the machine's measured multiply-adds a second, per cent."""
    ratio: float | None = None
    """Time as a multiple of that of the row it is compared with."""
    way: str = ""
    """Engine and precision of a network, which end its title."""

    @property
    def method(self) -> str:
        """The title without the way."""
        return self.title.removesuffix(f", {self.way}")


@dataclass(frozen=True, slots=True)
class Growth:
    """One method on images of several sizes."""

    title: str
    pixels: tuple[int, ...]
    seconds: tuple[tuple[float, float, float] | None, ...]
    """Median, smallest and largest over the rounds, of each size; None where there is none."""
    memory: tuple[float | None, ...]
    """MiB, of each size."""
    exponent: float | None
    """Slope of the logarithm of the time over that of the pixels."""
    seconds_per_pixel: float | None
    """Geometric mean."""


def speeds(found: Sequence[Speed], reference: str, facts: Facts, notes: Sequence[str]) -> Report:
    """Lay out methods on one image.

    Args:
        found: the rows.
        reference: what `ratio` compares with.
        facts: what was run on what.
        notes: what a reader should know besides.
    """
    cells = [
        (*(one.seconds or (None,) * 3), one.megapixels, one.memory, one.device_memory, one.psnr, one.share, one.ratio)
        for one in found
    ]
    columns = (
        (Column(title="median, s", significant=3), ""),
        (Column(title="fastest, s", significant=3), ""),
        (Column(title="slowest, s", significant=3), ""),
        (Column(title="speed, MP/s", significant=3), "speed: 10^6 pixels a second."),
        (Column(title="memory, MiB", digits=0), "memory: the most that the process had resident, all of it."),
        (Column(title="on GPU, MiB", digits=0), "on GPU: the most that torch had allocated there."),
        (Column(title="PSNR, dB", digits=2), "PSNR: of the result, clipped to [0, 255]."),
        (
            Column(title="of peak, %", digits=0),
            "of peak: multiply-adds of the convolutions, as a share of the highest rate measured in this run.",
        ),
        (Column(title=f"to {reference}, times", significant=3), f"to {reference}: time, the fastest {reference} is 1."),
    )
    shown = [at for at in range(len(columns)) if at < 3 or any(row[at] is not None for row in cells)]
    definition = "Time of a call, model loaded: median, fastest and slowest of the rounds. " + " ".join(
        columns[at][1] for at in shown if columns[at][1]
    )
    rows = [Row(one.title, tuple(row[at] for at in shown)) for one, row in zip(found, cells, strict=True)]
    table = Table(SPEED, definition, tuple(columns[at][0] for at in shown), tuple(rows), 3)
    return Report("Speed of denoisers on one image", facts, (table,), tuple(notes))


def growths(found: Sequence[Growth], sides: Sequence[int], facts: Facts, notes: Sequence[str]) -> Report:
    """Lay out methods on images of several sizes.

    Args:
        found: the rows.
        sides: of the square images, pixels.
        facts: what was run on what.
        notes: what a reader should know besides.
    """
    sizes = [f"{side}x{side}, {side**2 / 1e6:.3g} MP" for side in sides]
    exact = tuple(Column(title=size, significant=3) for size in sizes)
    seconds = [(*(one and one[0] for one in growth.seconds), growth.exponent) for growth in found]
    rates = [
        tuple(one and pixels / 1e6 / one[0] for one, pixels in zip(growth.seconds, growth.pixels, strict=True))
        for growth in found
    ]
    tables = (
        Table(
            GROWTH_SECONDS,
            "Median time of a call over the rounds. exponent: slope of the line of least squares through the "
            "logarithms of time and pixels; 1 is proportional.",
            (*exact, Column(title="exponent", digits=2)),
            tuple(Row(growth.title, row) for growth, row in zip(found, seconds, strict=True)),
            3,
        ),
        Table(
            GROWTH_RATE,
            "10^6 pixels a second.",
            exact,
            tuple(Row(growth.title, row) for growth, row in zip(found, rates, strict=True)),
            3,
        ),
        Table(
            GROWTH_MEMORY,
            "The most that a process with this one image had resident, all of it.",
            tuple(Column(title=size, digits=0) for size in sizes),
            tuple(Row(growth.title, growth.memory) for growth in found),
            0,
        ),
    )
    return Report("Time and memory over the size of the image", facts, tables, tuple(notes))
