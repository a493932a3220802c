"""TIFF and PNG written by hand, byte by byte: no reader's own writer would show that reader's mistakes."""

import struct
import zlib

import numpy as np

SHORT, LONG, DOUBLE, ASCII = 3, 4, 12, 2
FORMATS = {SHORT: "H", LONG: "I", DOUBLE: "d", ASCII: "s", 8: "h", 16: "Q"}


def tiff(*pages, order="<", big=False):
    """A file of pages, each what `page` returns; BigTIFF where `big`."""
    word, count = ("Q", "Q") if big else ("I", "H")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    content = head + (struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8))
    for number, make in enumerate(pages):
        pieces, tags = make(order)
        room = struct.calcsize(word)
        entry = 4 + 2 * room
        start = len(content)
        heap = start + struct.calcsize(order + count) + len(tags) * entry + room
        offsets, at = [], heap  # the pieces stand behind the directory, then the values that do not fit into it
        for piece in pieces:
            offsets.append(at)
            at += len(piece)
        tags = {**tags, (324 if 322 in tags else 273): (LONG, offsets)}
        values, table = b"", b""
        for tag in sorted(tags):
            kind, numbers = tags[tag]
            packed = numbers if kind == ASCII else struct.pack(f"{order}{len(numbers)}{FORMATS[kind]}", *numbers)
            field = packed.ljust(room, b"\0")
            if len(packed) > room:
                field = struct.pack(order + word, at + len(values))
                values += packed
            table += struct.pack(f"{order}HH{word}", tag, kind, len(numbers)) + field
        end = at + len(values)
        following = struct.pack(order + word, end if number + 1 < len(pages) else 0)
        content += struct.pack(order + count, len(tags)) + table + following + b"".join(pieces) + values
    return content


def page(samples, photometric=1, *, compression=1, predictor=1, planar=False, tile=None, rows=None, tags=None):
    """A page of samples [H, W] or [H, W, S] of any type: the pieces and the tags, in the file's byte order."""
    samples = samples[:, :, None] if samples.ndim == 2 else samples
    height, width, count = samples.shape
    bits = 8 * samples.dtype.itemsize

    def make(order):
        down, across = tile or (rows or height, width)
        pieces = []
        for plane in np.split(samples, count, axis=2) if planar else [samples]:
            for top in range(0, height, down):
                for left in range(0, width, across):
                    piece = plane[top : top + down, left : left + across]
                    if tile:
                        padding = ((0, down - piece.shape[0]), (0, across - piece.shape[1]), (0, 0))
                        piece = np.pad(piece, padding, constant_values=99)
                    pieces.append(PACK[compression](predicted(piece, predictor, order)))
        wanted = {
            256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [bits] * count), 259: (SHORT, [compression]),
            262: (SHORT, [photometric]), 273: (LONG, [0] * len(pieces)), 277: (SHORT, [count]),
            279: (LONG, [len(piece) for piece in pieces]), 278: (LONG, [down]), 284: (SHORT, [2 if planar else 1]),
            317: (SHORT, [predictor]), 339: (SHORT, ["uif".index(samples.dtype.kind) + 1] * count),
        }  # fmt: skip
        if tile:
            wanted |= {322: (LONG, [across]), 323: (LONG, [down]), 325: wanted.pop(279)}
            wanted[324] = wanted.pop(273)
            del wanted[278]
        return pieces, wanted | (tags or {})

    return make


def packed_page(lines, width, bits, photometric=1, tags=None):
    """A page of one sample of few `bits`, whose lines of bytes are given."""
    wanted = {
        256: (LONG, [width]), 257: (LONG, [len(lines)]), 258: (SHORT, [bits]), 262: (SHORT, [photometric]),
        273: (LONG, [0]), 277: (SHORT, [1]),
    }  # fmt: skip
    return lambda order: ([b"".join(lines)], wanted | (tags or {}))


def predicted(piece, predictor, order):
    """What the predictor stores of a piece [h, w, S], as bytes."""
    if predictor == 1:
        return piece.astype(piece.dtype.newbyteorder(order)).tobytes()
    if predictor == 2:
        whole = np.ascontiguousarray(piece).view(f"u{piece.dtype.itemsize}")
        differences = np.diff(whole, axis=1, prepend=np.zeros_like(whole[:, :1]))
        return differences.astype(differences.dtype.newbyteorder(order)).tobytes()
    lines = []
    for row in piece.astype(piece.dtype.newbyteorder(">")):
        by_weight = np.frombuffer(row.tobytes(), np.uint8).reshape(-1, piece.dtype.itemsize).T.reshape(-1)
        steps = by_weight.copy()
        steps[piece.shape[2] :] -= by_weight[: -piece.shape[2]]
        lines.append(steps.tobytes())
    return b"".join(lines)


def lzw(content):
    """LZW that never says more than a byte at once: the table is cleared before its codes grow a bit longer."""
    codes = []
    for start in range(0, len(content), 250):
        codes += [256, *content[start : start + 250]]
    text = "".join(f"{code:09b}" for code in [*codes, 257])
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8)


def packbits(content):
    runs = (content[start : start + 100] for start in range(0, len(content), 100))
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


PACK = {1: bytes, 5: lzw, 8: zlib.compress, 32773: packbits}


def png(samples, colour, significant=None):
    """A PNG of 16 bits from samples [H, W] or [H, W, C] and PNG's colour type, with sBIT where it is given."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = samples.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    bits = chunk(b"sBIT", bytes(significant)) if significant else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + bits + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
