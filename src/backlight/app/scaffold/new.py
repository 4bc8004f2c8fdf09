"""A new plugin package, written whole or not at all: the templates beside this module, filled."""

from __future__ import annotations

import keyword
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from backlight.core.errors import RequestError, unknown
from backlight.core.hookspecs import GROUPS, SPECS, Kind
from backlight.core.registry import registry

KINDS: tuple[Kind, ...] = ("rule", "canonizer", "processor", "panel")
"""What can be written; a preset composite is a few lines beside a rule."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MODEL = '''
class Pooling(nn.Module):
    """A network of the canonizer's family."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x):
        return torch.logsumexp(self.layer(x), 2)


def pooling():
    torch.manual_seed(0)
    return Pooling().double().eval(), torch.randn(3, 5, 6, dtype=torch.float64)

'''


@dataclass(frozen=True)
class NewPackage:
    """What to write: a distribution and, under the same name, one plugin of each kind.

    Raises RequestError for names that cannot be used and for kinds that are unknown or doubled.
    """

    name: str
    kinds: tuple[Kind, ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise RequestError(
                f"name {self.name!r} is not kebab-case: expected lower-case words joined by '-'"
            )
        if keyword.iskeyword(self.package) or self.package == "backlight":
            raise RequestError(f"name {self.name!r} cannot be used: it would be the module {self.package!r}")
        if not self.kinds:
            raise RequestError(f"choose at least one kind of plugin: {', '.join(KINDS)}")
        for kind in self.kinds:
            if kind not in KINDS:
                raise RequestError(unknown("kind of plugin", kind, KINDS))
            if self.name in registry().names(kind):
                raise RequestError(
                    f"there is a {kind} {self.name!r} already; choose another name, or it would be ambiguous"
                )

    @property
    def package(self) -> str:
        """Name of the import package."""
        return self.name.replace("-", "_")

    def files(self) -> dict[str, str]:
        """Return the text of every file, by its path in the package's folder."""
        ordered = [kind for kind in KINDS if kind in self.kinds]
        words = {
            "name": self.name,
            "class_name": "".join(word.capitalize() for word in self.name.split("-")),
            "title": self.name.replace("-", " ").capitalize(),
            "points": "\n".join(self._points(kind) for kind in ordered),
            "offers": "\n".join(
                f"- the {kind} `{self.name}` (`src/{self.package}/{kind}.py`)" for kind in ordered
            ),
            **self._test_words(),
        }
        written = {
            "pyproject.toml": "pyproject.toml",
            "README.md": "README.md",
            ".gitignore": "gitignore",
            ".github/workflows/test.yml": "ci.yml",
            "tests/test_conformance.py": "test_conformance.py",
            **{f"src/{self.package}/{kind}.py": f"{kind}.py" for kind in ordered},
        }
        filled = {path: _template(name).substitute(words) for path, name in written.items()}
        return {
            **filled,
            f"src/{self.package}/__init__.py": f'"""Plugins for Backlight: {", ".join(ordered)}."""\n',
        }

    def _points(self, kind: Kind) -> str:
        group = next(spec.group for spec in SPECS if spec.kind == kind)
        assert group in GROUPS
        return f'[project.entry-points."{group}"]\n{self.name} = "{self.package}.{kind}"\n'

    def _test_words(self) -> dict[str, str]:
        if "canonizer" not in self.kinds:
            return {"imports": "", "needed": "", "helpers": "", "specimens": ""}
        return {
            "imports": "import torch\n",
            "needed": "Specimen, ",
            "helpers": f"from torch import nn\n\n{_MODEL}",
            "specimens": f'("canonizer", "{self.name}"): Specimen(models=(pooling,))',
        }


def write_package(package: NewPackage, folder: Path) -> list[str]:
    """Write the package into a new folder and return its files; RequestError if the folder is there already.

    Everything is written beside the folder first and renamed when complete.
    """
    if folder.exists() or folder.is_symlink():
        raise RequestError(f"{folder} exists already; choose another folder with --out")
    files = package.files()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as part:
            whole = Path(part) / "whole"
            for path, text in files.items():
                (whole / path).parent.mkdir(parents=True, exist_ok=True)
                (whole / path).write_text(text, encoding="utf-8")
            whole.rename(folder)
    except OSError as error:
        raise RequestError(f"{folder} cannot be written: {error.strerror or error}") from error
    return sorted(files)


def parse_kinds(given: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds in what a person typed: separated by commas or spaces, each once."""
    words = [word for text in given for word in re.split(r"[,\s]+", text) if word]
    for word in words:
        if word not in KINDS:
            raise RequestError(unknown("kind of plugin", word, KINDS))
    return tuple(kind for kind in KINDS if kind in words)


def _template(name: str) -> Template:
    return Template((resources.files(__package__) / "templates" / f"{name}.txt").read_text(encoding="utf-8"))
