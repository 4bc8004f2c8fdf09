"""Text in pictures: a font that has the letters, and lines that fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import final

from PIL import ImageDraw, ImageFont

_SYSTEM = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "Arial.ttf")
"""Fonts with many letters, looked for where Pillow's own, which is the same everywhere, lacks one."""

_NOBODYS = "\uffff"


@final
class Lettering:
    """One font at one size, chosen for all texts of a picture.

    size: pixels. texts: all that will be written; letters that no font here has lose their accents or
    become question marks.
    """

    def __init__(self, size: int, texts: Iterable[str]) -> None:
        letters = {letter for text in texts for letter in text}
        self._font = next((font for font in _fonts(size) if not _missing(font, letters)), None) or _own(size)
        self._replaced = str.maketrans({x: _plain(self._font, x) for x in _missing(self._font, letters)})
        self.line = round(size * 1.3)
        """Height of a line."""

    def lines(self, text: str, width: int, most: int = 3) -> list[str]:
        """Break a text between words into lines that fit into `width` pixels, cutting what is left over."""
        found: list[str] = []
        for word in text.translate(self._replaced).split():
            longer = f"{found[-1]} {word}" if found else word
            if found and self._fits(longer, width):
                found[-1] = longer
            else:
                found.append(word)
        if len(found) > most:
            found[most - 1 :] = [" ".join(found[most - 1 :])]
        return [self._cut(line, width) for line in found]

    def width(self, line: str) -> int:
        """Return the width of one line in pixels."""
        return int(self._font.getlength(line)) + 1

    def write(self, draw: ImageDraw.ImageDraw, lines: list[str], left: int, top: int, width: int) -> None:
        """Write lines, centred between `left` and `left + width`."""
        for number, line in enumerate(lines):
            x = left + (width - self.width(line)) // 2
            draw.text((x, top + number * self.line), line, fill="#202020", font=self._font)

    def _cut(self, line: str, width: int) -> str:
        if self._fits(line, width):
            return line
        end = "…" if not _missing(self._font, {"…"}) else "..."
        while line and not self._fits(line + end, width):
            line = line[:-1]
        return line.rstrip() + end

    def _fits(self, line: str, width: int) -> bool:
        return self.width(line) <= width


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _own(size: int) -> _Font:
    return ImageFont.load_default(size)


def _fonts(size: int) -> Iterable[_Font]:
    yield _own(size)
    for name in _SYSTEM:
        try:
            yield ImageFont.truetype(name, size)
        except OSError:
            continue


def _missing(font: _Font, letters: Iterable[str]) -> set[str]:
    nothing = bytes(font.getmask(_NOBODYS))
    return {x for x in letters if not x.isspace() and bytes(font.getmask(x)) == nothing}


def _plain(font: _Font, letter: str) -> str:
    base = "".join(x for x in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(x))
    return base if base and not _missing(font, base) else "?"
