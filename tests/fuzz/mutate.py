"""Ways in which files go wrong: in transfer, on a dying disk, by a careless writer, on purpose."""

import struct
from collections.abc import Callable
from random import Random

Mutation = Callable[[bytes, Random], bytes]

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
LONG_EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NUMBERS = (b"nan ", b"1e99", b"-1  ", b"0   ", b"inf ", b"9999", b"\\\\\\\\", b"    ", b"a^b=")
TAGS = [
    struct.pack("<HH", group, element)
    for group, element in (
        (0x0008, 0x0005),
        (0x0008, 0x0016),
        (0x0028, 0x0002),
        (0x0028, 0x0004),
        (0x0028, 0x0008),
        (0x0028, 0x0010),
        (0x0028, 0x0011),
        (0x0028, 0x0100),
        (0x0028, 0x0101),
        (0x0028, 0x0102),
        (0x0028, 0x0103),
        (0x0028, 0x0120),
        (0x0028, 0x1050),
        (0x0028, 0x1051),
        (0x0028, 0x1052),
        (0x0028, 0x1053),
        (0x0028, 0x3002),
        (0x0028, 0x3010),
        (0x6000, 0x0010),
        (0x6000, 0x0102),
        (0x7FE0, 0x0010),
        (0xFFFE, 0xE000),
    )
]


def truncate(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data))]


def truncate_at_a_tag(data: bytes, random: Random) -> bytes:
    return data[: _find(data, random) + random.choice((0, 0, 1, 4, 6, 8))]


def flip_bits(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def random_bytes(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + random.randbytes(random.choice((1, 4, 100))) + data[at + random.choice((0, 1, 4)) :]


def cut_out(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + data[at + random.choice((1, 2, 8, 100)) :]


def repeat(data: bytes, random: Random) -> bytes:
    at, length = random.randrange(len(data)), random.choice((2, 8, 64, 512))
    return data[:at] + data[at : at + length] * random.choice((2, 3, 50)) + data[at:]


def wrong_length(data: bytes, random: Random) -> bytes:
    """The length of a known element, in Explicit or Implicit VR."""
    at = _find(data, random)
    return _put(data, at + 6, "<H", random.choice(EXTREMES)) if random.random() < 0.5 else _put(
        data, at + 4, "<L", random.choice(LONG_EXTREMES)
    )  # fmt: skip


def wrong_value(data: bytes, random: Random) -> bytes:
    """The first words of a known element's value."""
    at = _find(data, random) + 8
    value = random.choice((*NUMBERS, *(struct.pack("<HH", one, one) for one in EXTREMES)))
    return data[:at] + value + data[at + len(value) :]


def wrong_vr(data: bytes, random: Random) -> bytes:
    at = _find(data, random) + 4
    return data[:at] + random.choice((b"SQ", b"UN", b"OB", b"DS", b"IS", b"AT", b"\0\0", b"zz")) + data[at + 2 :]


def nested(data: bytes, random: Random) -> bytes:
    """Sequences of undefined length, one in the other, that never end."""
    at = _find(data, random)
    opening = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return data[:at] + opening * random.choice((1, 10, 2000)) + data[at:]


def big_word(data: bytes, random: Random) -> bytes:
    """Any word, most often a size: PNG and TIFF heads, frame headers of codecs."""
    at = random.randrange(max(1, len(data) - 4))
    order = random.choice("<>")
    return _put(data, at, f"{order}L", random.choice(LONG_EXTREMES)) if random.random() < 0.5 else _put(
        data, at, f"{order}H", random.choice(EXTREMES)
    )  # fmt: skip


MUTATIONS: tuple[Mutation, ...] = (
    truncate,
    truncate_at_a_tag,
    flip_bits,
    random_bytes,
    cut_out,
    repeat,
    wrong_length,
    wrong_value,
    wrong_vr,
    nested,
    big_word,
)


def mutated(data: bytes, random: Random) -> bytes:
    """One to three of `MUTATIONS`."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(MUTATIONS)(data, random) or b"\0"
    return data


def _find(data: bytes, random: Random) -> int:
    """Where a known element starts; anywhere in a file that has none."""
    places = [at for at in (data.find(tag, 132) for tag in TAGS) if at >= 0]
    return random.choice(places) if places else random.randrange(len(data))


def _put(data: bytes, at: int, form: str, value: int) -> bytes:
    word = struct.pack(form, value)
    return data[:at] + word + data[at + len(word) :]
