# SPDX-License-Identifier: MIT
"""The picture of the console in the README: a running debate of demo agents on
the real servers. Run by hand after a change of the console:

    top_builddir=build /usr/bin/python3 tests/browser/picture.py
"""
import base64
import os
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
import console as co  # noqa: E402
import stack as st  # noqa: E402

PATH = os.path.join(st.SOURCE, "docs", "console.png")
WIDTH, HEIGHT = 1000, 1230
MAX_BYTES = 200_000
COLOURS = 256
QUESTION = \
    "Should a small online shop keep its data in SQLite or in PostgreSQL?"


# ---- PNG: RGB or RGBA of 8 bits in, a palette out ----

def chunks(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        data = png[at + 8:at + 8 + length]
        crc, = struct.unpack(">I", png[at + 8 + length:at + 12 + length])
        assert crc == zlib.crc32(kind + data)
        yield kind, data
        at += 12 + length


def size(png):
    """(width, height, bit depth, colour type)"""
    return struct.unpack(">IIBB", next(chunks(png))[1][:10])


def paeth(a, b, c):
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def unfilter(kind, row, above, step):
    for i in range(len(row)):
        left = row[i - step] if i >= step else 0
        up = above[i]
        corner = above[i - step] if i >= step else 0
        row[i] = (row[i] + (0, left, up, (left + up) // 2,
                            paeth(left, up, corner))[kind]) & 255


def pixels(png):
    """Lists of (red, green, blue), one for each line."""
    width, height, depth, colour = size(png)
    assert depth == 8 and colour in (2, 6)
    step = 3 if colour == 2 else 4
    data = zlib.decompress(b"".join(
        d for kind, d in chunks(png) if kind == b"IDAT"))
    above = bytearray(width * step)
    for y in range(height):
        at = y * (width * step + 1)
        row = bytearray(data[at + 1:at + 1 + width * step])
        unfilter(data[at], row, above, step)
        yield [tuple(row[i:i + 3]) for i in range(0, len(row), step)]
        above = row


def palette(lines):
    """The most frequent colours; every other one goes to the nearest."""
    count = {}
    for line in lines:
        for p in line:
            count[p] = count.get(p, 0) + 1
    kept = sorted(count, key=lambda p: (-count[p], p))[:COLOURS]
    place = {p: i for i, p in enumerate(kept)}
    for p in count:
        if p not in place:
            place[p] = min(range(len(kept)), key=lambda i: sum(
                (a - b) ** 2 for a, b in zip(kept[i], p)))
    return kept, place


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data)))


def shrink(png):
    lines = list(pixels(png))
    kept, place = palette(lines)
    rows = b"".join(b"\0" + bytes(place[p] for p in line) for line in lines)
    head = struct.pack(">IIBBBBB", len(lines[0]), len(lines), 8, 3, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
            chunk(b"PLTE", bytes(c for p in kept for c in p)) +
            chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


# ---- the page ----

def take(console):
    """A PNG of a debate under way: the question, proposals, critiques, and
    what is being written after them."""
    console.cdp("Emulation.setDeviceMetricsOverride", width=WIDTH,
                height=HEIGHT, deviceScaleFactor=1, mobile=False)
    console.cdp("Emulation.setScrollbarsHidden", hidden=True)
    console.cdp("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": "light"}])
    console.ask(QUESTION, agents={"demo": 2}, rounds=2)
    console.wait("critiques", lambda: console.has_card("critique"))
    console.wait("revisions", lambda: any(
        len(card.text) > 150 for card in console.all("#log .writing")))
    assert console.is_status("running")
    console.js("window.scrollTo(0, 0)")
    console.wait("top", lambda: console.js("return window.scrollY") == 0)
    png = base64.b64decode(
        console.cdp("Page.captureScreenshot", format="png")["data"])
    console.wait_end()
    return png


def main():
    with co.Chromium() as chromium, st.Stack() as stack, \
            co.Console(chromium, stack) as console:
        png = shrink(take(console))
    assert len(png) < MAX_BYTES, len(png)
    with open(PATH, "wb") as f:
        f.write(png)
    print(f"{PATH}: {len(png)} bytes")


if __name__ == "__main__":
    main()
