"""The JSON text of a noise profile: its numbers with their units, and which stored values are black and white."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

FORMAT = "xray-denoise noise profile, version 1"
LONGEST_JSON = 4 * 2**20
"""Largest length of the JSON text of a profile, bytes or characters; the largest kernel takes less than half of it."""


def to_text(grey: Values, deviation: Values, kernel: Values, black_white: tuple[float, float] | None) -> str:
    """The text of the parts of a `NoiseProfile`, with a line for each row of the kernel."""
    rows = ",\n  ".join(json.dumps(row) for row in kernel.tolist())
    parts = [
        ("grey", "grey level, 0 to 255 over the value range", json.dumps(grey.tolist())),
        ("deviation", "grey level, standard deviation of the noise", json.dumps(deviation.tolist())),
        ("kernel", "pixel; white noise convolved with it; its squares sum to 1", f"[\n  {rows}]"),
    ]
    if black_white is not None:
        parts.insert(0, ("black_white", "stored value, at grey levels 0 and 255", json.dumps(list(black_white))))
    lines = [f'"{name}": {{"unit": "{unit}", "values": {values}}}' for name, unit, values in parts]
    return "{\n" + ",\n".join([f'"format": "{FORMAT}"', *lines]) + "\n}\n"


def from_text(text: str | bytes) -> tuple[Values, Values, Values, tuple[float, float] | None]:
    """Grey levels, deviation, kernel, and stored values at black and white, as `to_text` wrote them.

    Raises:
        ValueError: not a profile; says what is wrong.
    """
    if len(text) > LONGEST_JSON:
        raise ValueError(f"longer than the {LONGEST_JSON} bytes that a noise profile can have")
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"not a noise profile: 'format' must be '{FORMAT}'")
    black_white = None
    if "black_white" in content:
        pair = _values(content, "black_white", 1)
        if pair.shape != (2,):
            raise ValueError("the 'values' of 'black_white' must be two numbers")
        black_white = (float(pair[0]), float(pair[1]))
    grey, deviation = _values(content, "grey", 1), _values(content, "deviation", 1)
    return grey, deviation, _values(content, "kernel", 2), black_white


def _values(content: dict[str, Any], name: str, dimensions: int) -> Values:
    """The numbers below `name` in a JSON object, or ValueError."""
    part = content.get(name)
    values: Any = part.get("values") if isinstance(part, dict) else None
    rows: Any = values if dimensions == 2 else [values]
    try:
        if not all(type(number) in {int, float} for row in rows for number in row):
            raise TypeError
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:  # no lists, unequal lengths, an integer of 400 digits
        wanted = "rows of equally many numbers" if dimensions == 2 else "a list of numbers"
        raise ValueError(f"the 'values' of '{name}' must be {wanted}") from error
