"""Code blocks of the documentation, done as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import forked
import venvs

BLOCK = re.compile(
    r'^```(python|toml|diff|console)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL
)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
MODULES = {"python": [], "backlight": ["-m", "backlight"], "pytest": ["-m", "pytest"]}
KILLED = "\nKilled\n"


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each command of a page and the output that is shown of it, "" for none."""
    for language, _, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "console":
            yield from COMMAND.findall(text)


def run(page: Path, folder: Path, python: Path | None = None, *, without: tuple[str, ...] = ()) -> list[str]:
    """Do what a page says in a folder; return what its commands print.

    Files of titled blocks are written, differences applied until the next one, commands run but those in
    `without`. What is shown of a command's output must be what it prints, but for line breaks; "…" stands for
    anything. A command of which nothing is shown must end well; one that is shown to be killed is, once it
    has printed as many lines as are shown before.
    """
    printed: list[str] = []
    here, kept = folder, dict[Path, str]()
    for language, title, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("python", "toml") and title:
            (here / title).write_text(text, encoding="utf-8")
        elif language == "diff":
            for path, original in kept.items():
                path.write_text(original, encoding="utf-8")
            kept = {here / title: (here / title).read_text(encoding="utf-8")}
            (here / title).write_text(_changed(kept[here / title], text), encoding="utf-8")
        elif language == "console":
            for line, shown in COMMAND.findall(text):
                if line.startswith("cd "):
                    here = here / line.removeprefix("cd ")
                elif line not in without:
                    printed.append(_run(line, here, python or Path(sys.executable), shown))
    return printed


def _changed(text: str, difference: str) -> str:
    """Return the text with the lines marked "-", which it has once, replaced by those marked "+"."""
    old, new = ("".join(re.findall(rf"^{re.escape(sign)}(.*\n)", difference, re.MULTILINE)) for sign in "-+")
    assert text.count(old) == 1, old
    return text.replace(old, new)


def _run(line: str, here: Path, python: Path, shown: str) -> str:
    program, *arguments = shlex.split(line.replace("\\\n", ""))
    if program == "pip":
        assert arguments[:2] == ["install", "-e"], line
        venvs.install(python, here, "-e")
        return ""
    command = [str(python), *MODULES[program], *arguments] if program in MODULES else [program, *arguments]
    if shown.endswith(KILLED):
        found = _killed(command, here, shown.removesuffix(KILLED).count("\n") + 1) + KILLED
    elif python == Path(sys.executable) and program == "backlight":
        found = forked.run([program, *arguments], here, ends_well=not shown)
    elif python == Path(sys.executable) and program == "python" and arguments[0].endswith(".py"):
        found = forked.run(arguments, here, ends_well=not shown)
    else:
        found = venvs.run(command, cwd=here, ends_well=not shown)
    if shown:
        expected = ".*".join(map(re.escape, " ".join(shown.split()).split("…")))
        told = " ".join(found.split())
        assert re.fullmatch(expected, told), f"{line}{os.linesep}{found}"
    return found


def _killed(command: list[str], here: Path, after: int) -> str:
    """Start a command, kill it by SIGKILL after so many lines, and return them."""
    with subprocess.Popen(
        command, cwd=here, env=venvs.ONE_THREAD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.kill()
    assert process.returncode == -signal.SIGKILL
    return "".join(lines)
