"""Text in pictures: every line fits, nothing is written as an empty box."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from backlight.core.pictures import lettering
from backlight.core.pictures.lettering import Lettering

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


@given(texts, st.integers(40, 300))
def test_every_line_fits_and_there_are_no_more_than_asked(text, width):
    letters = Lettering(14, [text])
    lines = letters.lines(text, width, 3)
    assert len(lines) <= 3
    assert all(letters.width(line) <= width for line in lines)


def test_a_text_that_fits_is_kept_whole():
    letters = Lettering(14, [])
    assert letters.lines("tiger cat 39%", 300) == ["tiger cat 39%"]
    assert letters.lines("tiger cat 39%", letters.width("tiger cat")) == ["tiger cat", "39%"]
    assert letters.lines("", 300) == []
    assert letters.lines("pneumonoultramicroscopic", 100)[0].endswith("…")


def test_letters_that_no_font_has_are_written_plainly(monkeypatch):
    monkeypatch.setattr(lettering, "_SYSTEM", ())
    assert Lettering(14, ["Café Ägypten 猫"]).lines("Café Ägypten 猫", 300) == ["Cafe Agypten ?"]


def test_a_font_of_the_system_is_taken_where_it_has_more_letters(monkeypatch):
    font = Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    monkeypatch.setattr(lettering, "_SYSTEM", ("no-such-font.ttf", str(font)))
    assert Lettering(14, ["Café λ"]).lines("Café λ", 300) == ["Café λ"]


@pytest.mark.parametrize("width", [60, 150])
def test_what_is_written_stays_inside(width):
    text = "a caption with several words of it"
    letters = Lettering(14, [text])
    lines = letters.lines(text, width)
    canvas = Image.new("L", (width + 40, len(lines) * letters.line + 40), 255)
    letters.write(ImageDraw.Draw(canvas), lines, 20, 20, width)
    rows, columns = np.nonzero(np.asarray(canvas) < 255)
    assert len(rows)
    assert columns.min() >= 20
    assert columns.max() < 20 + width
    assert rows.min() >= 20
    assert rows.max() < 20 + len(lines) * letters.line
