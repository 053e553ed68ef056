"""Ways in which files go wrong: in transfer, on a dying disk, by a careless writer, on purpose."""

import json
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


ITEM, SEQUENCE_END = struct.pack("<HH", 0xFFFE, 0xE000), struct.pack("<HH", 0xFFFE, 0xE0DD)


def fragments(data: bytes, random: Random) -> bytes:
    """Another structure of encapsulated pixels: items cut, emptied, doubled, lengthened; no end; another table."""
    places = [at for at in _all(data, ITEM) if at > 132]
    if not places:
        return data
    at = random.choice(places)
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    value = data[at + 8 : at + 8 + min(length, len(data))]
    kind = random.randrange(7)
    if kind == 0 and len(value) > 2:
        cut = random.randrange(len(value) // 2) * 2
        items = (value[:cut], value[cut:])
    elif kind == 1:
        items = (value, b"")
    elif kind == 2:
        items = (value, value)
    elif kind == 3:
        items = ()
    elif kind == 4:
        return data[: data.rfind(SEQUENCE_END)] + data[data.rfind(SEQUENCE_END) + 8 :] if SEQUENCE_END in data else data
    elif kind == 5:
        numbers = [random.choice((0, 0, 1, at, len(value), 0xFFFFFFFF)) for _ in range(random.choice((1, 2, 3, 8)))]
        items = (struct.pack(f"<{len(numbers)}L", *numbers),)
    else:
        return _put(
            data, at + 4, "<L", random.choice((*LONG_EXTREMES, min(length + 2, 0xFFFFFFFF), max(0, length - 2)))
        )
    return data[:at] + b"".join(ITEM + struct.pack("<L", len(one)) + one for one in items) + data[at + 8 + len(value) :]


def extended_offsets(data: bytes, random: Random) -> bytes:
    """An Extended Offset Table, most often a wrong one, before the pixels."""
    at = data.rfind(struct.pack("<HH", 0x7FE0, 0x0010))
    numbers = [random.choice((0, 0, 8, 100, 2**63)) for _ in range(random.choice((1, 2, 3)))]
    value = struct.pack(f"<{len(numbers)}Q", *numbers)
    tables = b"".join(struct.pack("<HH2sHL", 0x7FE0, one, b"OV", 0, len(value)) + value for one in (1, 2))
    return data[:at] + tables + data[at:] if at > 0 else data


def nested_pixels(data: bytes, random: Random) -> bytes:
    """Pixels in an icon, native or encapsulated, and more elements behind them or at the end of the file."""
    at = random.choice((_find(data, random), len(data)))
    native = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 8) + bytes(8)
    fragment = ITEM + struct.pack("<L", 0) + ITEM + struct.pack("<L", 4) + b"\xff\xd8\xff\xd9"
    encapsulated = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + fragment + SEQUENCE_END + bytes(4)
    behind = random.choice((b"", struct.pack("<HH2sH", 8, 8, b"CS", 0))) * random.choice((1, 100, 60_000))
    item = random.choice((native, encapsulated)) + behind
    length = random.choice((len(item), 0xFFFFFFFF))
    end = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) if length == 0xFFFFFFFF else b""
    icon = struct.pack("<HH2sHL", 0x0088, 0x0200, b"SQ", 0, 0xFFFFFFFF) + ITEM + struct.pack("<L", length) + item + end
    return data[:at] + icon + random.choice((SEQUENCE_END + bytes(4), b"")) + data[at:]


def marker(data: bytes, random: Random) -> bytes:
    """Junk, or another segment, before a marker of a JPEG or JPEG 2000 codestream."""
    start = max(data.find(b"\xff\xd8\xff"), data.find(b"\xff\x4f\xff"), 0)
    places = [start + at for at in _all(data[start : start + 300], b"\xff")]
    at = random.choice(places or [len(data) // 2])
    junk = random.choice((b"\0\0", b"\xff\xff", b"\xff\0", b"\xff\xd0", random.randbytes(3), data[at : at + 12]))
    return data[:at] + junk + data[at:]


def tiff_entry(data: bytes, random: Random) -> bytes:
    """One entry of a TIFF directory: another tag, type, count or value; or another link to the next directory."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return flip_bits(data, random)
    place = struct.unpack_from(f"{order}L", data, 4)[0]
    if place + 2 > len(data):
        return data
    entries = struct.unpack_from(f"{order}H", data, place)[0]
    at = place + 2 + 12 * random.randrange(entries + 1)
    if at + 12 > len(data):
        return data
    tags = (
        254,
        256,
        257,
        258,
        259,
        262,
        266,
        270,
        273,
        274,
        277,
        278,
        279,
        284,
        317,
        320,
        322,
        323,
        324,
        325,
        338,
        339,
    )
    form, offset, choices = random.choice(
        (
            ("H", 0, tags),
            ("H", 2, (1, 2, 3, 4, 5, 7, 12, 16, 99)),
            ("L", 4, (0, 1, 2, 1000, 2**31, 2**32 - 1)),
            ("L", 8, (0, 1, 2, 3, 4, 5, 7, 8, 16, 100, len(data), 2**31, 2**32 - 1, random.randrange(len(data)))),
            ("H", 8, (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 65535)),
        )
    )
    return _put(data, at + offset, f"{order}{form}", random.choice(choices))


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
    fragments,
    extended_offsets,
    nested_pixels,
    marker,
    tiff_entry,
    tiff_entry,
)

JSON_VALUES = (
    None,
    True,
    -1,
    0,
    1e400,
    2**70,
    "",
    "a",
    "\ud800",
    "../a.png",
    [],
    [[]],
    [1],
    {},
    {"bytes": 1},
    [0, 0, 0],
)
JSON_LINES = (
    b"\n",
    b"null\n",
    b"[" * 100_000 + b"\n",
    b'{"target":' * 20_000 + b"\n",
    b'{"target":"a.png"}\n',
    b" " * 300_000 + b"\n",
    b"9" * 50_000 + b"\n",
    b"\xff\xfe\0\n",
)
VALUES = (
    "1",
    "-1",
    "nan",
    "inf",
    "true",
    '"x"',
    '""',
    "[]",
    "[1]",
    "[[1]]",
    "{}",
    "{ a = 1 }",
    "1e999",
    "2026-01-01",
    "9" * 400,
)


def mutated_card(text: str, random: Random) -> str:
    """A model card with a field of another type, a line lost or doubled, or bytes changed."""
    lines = text.splitlines()
    at = random.randrange(min(len(lines), 30))
    kind = random.randrange(5)
    if kind == 0:
        lines[at] = f"{lines[at].partition('=')[0]}= {random.choice(VALUES)}"
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        lines.insert(at, lines[random.randrange(min(len(lines), 30))])
    elif kind == 3:
        lines[at] = lines[at].replace(
            random.choice('0123456789.,"[]{}= '), random.choice(('"', "]", "{", "", "e9", "\0"))
        )
    else:
        return text.encode()[: random.randrange(2000)].decode("utf-8", "ignore")
    return "\n".join(lines) + "\n"


def mutated_manifest(data: bytes, random: Random) -> bytes:
    """A record of results with a field of another type, a line lost, doubled or made up, or bytes changed."""
    lines = data.splitlines(keepends=True)
    at = random.randrange(len(lines))
    kind = random.randrange(7)
    if kind == 0:
        fields = json.loads(lines[at])
        place = fields
        while isinstance(place[key := random.choice(sorted(place))], dict) and random.random() < 0.7:
            place = place[key]
        place[key] = random.choice(JSON_VALUES)
        lines[at] = json.dumps(fields).encode() + b"\n"
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        lines.insert(at, lines[random.randrange(len(lines))])
    elif kind == 3:
        lines.insert(at, random.choice(JSON_LINES))
    elif kind == 4:
        lines[at] = lines[at].replace(
            random.choice((b"{", b"}", b'"', b":", b"0", b",", b"\n", b"sha256")),
            random.choice((b"", b"[", b"}", b"\0", b"\\ud800", b"9" * 20)),
        )
    elif kind == 5:
        return data[: random.randrange(len(data))]
    else:
        return flip_bits(data, random)
    return b"".join(lines)


def mutated(data: bytes, random: Random) -> bytes:
    """One to three of `MUTATIONS`."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(MUTATIONS)(data, random) or b"\0"
    return data


def _all(data: bytes, part: bytes) -> list[int]:
    """Every place of `part`."""
    places, at = [], data.find(part)
    while at >= 0:
        places.append(at)
        at = data.find(part, at + 1)
    return places


def _find(data: bytes, random: Random) -> int:
    """Where a known element starts; anywhere in a file that has none."""
    places = [at for at in (data.find(tag, 132) for tag in TAGS) if at >= 0]
    return random.choice(places) if places else random.randrange(len(data))


def _put(data: bytes, at: int, form: str, value: int) -> bytes:
    word = struct.pack(form, value)
    return data[:at] + word + data[at + len(word) :]
