"""MkDocs hook: run the notebooks and show them as pages, with what their cells print and draw.

In the repository they lie without outputs. The alternative text of a picture is the cell's metadatum "alt".
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from traitlets.config import Config

SECONDS = 240
"""Limit for one cell."""


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Put a page and its pictures beside every notebook; links between notebooks lead to pages."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            page, pictures = rendered(executed(Path(config.docs_dir, file.src_uri)), Path(file.src_uri).stem)
            folder = Path(file.src_uri).parent
            for name, content in ((f"{Path(file.src_uri).stem}.md", page), *pictures.items()):
                files.append(File.generated(config, (folder / name).as_posix(), content=content))
    return files


def executed(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of all cells, run in a fresh kernel; raise CellExecutionError."""
    notebook = nbformat.read(path, as_version=4)
    private = Config({"KernelManager": {"transport": "ipc"}})  # no port that others could connect to
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", config=private).execute()
    return notebook


def rendered(notebook: nbformat.NotebookNode, stem: str) -> tuple[str, dict[str, bytes]]:
    """Return the notebook as Markdown, and its pictures by file name."""
    pictures: dict[str, bytes] = {}
    parts: list[str] = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source.replace(".ipynb)", ".md)"))
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for data in _outputs(cell):
            if "image/png" in data:
                name = f"{stem}-{number}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                parts.append(f"![{cell.metadata.get('alt', '')}]({name})")
            else:
                parts.append(f"```text\n{data['text/plain'].rstrip()}\n```")
    download = (
        f"*This page is a notebook: [download it]({stem}.ipynb) and run it where Backlight is installed.*"
    )
    title, _, rest = "\n\n".join(parts).partition("\n\n")
    return f"{title}\n\n{download}\n\n{rest}\n", pictures


def _outputs(cell: nbformat.NotebookNode) -> Iterator[dict[str, Any]]:
    """Yield what a cell printed, as plain text, and what it showed."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield {"text/plain": output.text}
        else:
            yield output.data
