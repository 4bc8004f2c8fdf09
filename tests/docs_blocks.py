"""Code blocks of the documentation, run as a reader would."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import venvs

BLOCK = re.compile(r'^```(python|console)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def run(page: Path, folder: Path) -> list[str]:
    """Write the titled blocks of a page into a folder, run its commands there, return what they print."""
    printed = []
    for language, title, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python" and title:
            (folder / title).write_text(text, encoding="utf-8")
        elif language == "console":
            for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
                program, *arguments = shlex.split(line)
                command = {"python": [], "backlight": ["-m", "backlight"]}[program]
                printed.append(venvs.run([sys.executable, *command, *arguments], cwd=folder))
    return printed
