# SPDX-License-Identifier: MIT
"""The picture in the README can be made again, and is one."""
import os
import re

import picture
import stack as st


def test_it_can_be_made_again(console):
    png = picture.take(console)
    small = picture.shrink(png)
    assert picture.size(png)[:2] == (picture.WIDTH, picture.HEIGHT)
    assert picture.size(small) == (picture.WIDTH, picture.HEIGHT, 8, 3)
    assert len(small) < picture.MAX_BYTES
    # As many colours as a palette has, and the page's own among them.
    colours = {p for line in picture.pixels(png) for p in line}
    table = dict(picture.chunks(small))[b"PLTE"]
    kept = {tuple(table[i:i + 3]) for i in range(0, len(table), 3)}
    assert kept <= colours and 16 < len(kept) <= picture.COLOURS


def test_the_readme_shows_it():
    with open(picture.PATH, "rb") as f:
        png = f.read()
    assert picture.size(png) == (picture.WIDTH, picture.HEIGHT, 8, 3)
    assert len(png) < picture.MAX_BYTES
    with open(os.path.join(st.SOURCE, "README.md"), encoding="utf-8") as f:
        alt, = re.findall(r"!\[([^\]]+)\]\(docs/console.png\)", f.read())
    assert len(alt) > 40
