"""The explorer as a library: `make_app` builds it, `explore` serves it from a background thread."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from backlight.app.explorer.factory import make_app
from backlight.app.explorer.server import Server, new_token
from backlight.core.project import Project, open_project
from backlight.core.projects.table import rows

if TYPE_CHECKING:
    from torch import nn

    from backlight.core.projects.live import Live

__all__ = ["Explorer", "explore", "make_app", "serve"]


class Explorer:
    """A running explorer. Close it, or use it as a context manager.

    url: where to look at it. indices: dataset indices of the most recent selection.
    """

    def __init__(self, project: Project, host: str, port: int, live: Live | None = None) -> None:
        self.project = project
        self.indices: list[int] = []
        self._place: tuple[str | None, ...] = (None, None, None)
        token = new_token(host)
        models = {} if live is None else {project.name: live}
        app = make_app([project], token=token, on_selection=self._select, live=models)
        self.server = Server(app.server, host, port, token)
        self.url = self.server.url
        # Threads that still read HDF5 files while the interpreter goes down crash it.
        atexit.register(self.close)

    def close(self) -> None:
        """Stop the server and wait for the answers under way; the project stays open."""
        atexit.unregister(self.close)
        self.server.close()

    @property
    def selection(self) -> Any:
        """The most recent selection with file, label, prediction, cluster and tags of each sample.

        A pandas DataFrame where pandas is installed, else a list of dictionaries.
        """
        analysis, name, clustering = self._place
        place = self.project.analysis(analysis).category(name) if analysis and name else None
        indices = np.array(self.indices, dtype=np.int64)
        found = rows(self.project, indices, self.project.annotations.tags(), place, clustering)
        try:
            import pandas as pd
        except ImportError:
            return found
        return pd.DataFrame(found)

    def _select(self, indices: list[int], place: tuple[str | None, ...]) -> None:
        self.indices, self._place = indices, place

    def __enter__(self) -> Explorer:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Explorer of {self.project.name!r} at {self.url}>"


def explore(
    project: Project | str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    open_browser: bool = False,
    model: nn.Module | str | None = None,
    **settings: Any,
) -> Explorer:
    """Serve the explorer of a project or run directory in the background.

    host: any address but a loopback one needs the token in the printed link. port: 0 picks a free one.
    model: explains single pictures on the page; the model itself, or its name with `settings` as in run.toml.
    """
    opened = project if isinstance(project, Project) else open_project(project)
    live = None if model is None else _live([opened], {"model": model, **settings})[opened.name]
    explorer = Explorer(opened, host, port, live)
    explorer.server.start()
    if open_browser:
        explorer.server.open_browser()
    return explorer


def serve(
    paths: list[Path],
    *,
    host: str,
    port: int,
    open_browser: bool,
    roots: Sequence[Path] = (),
    announce: Any = print,
    live: Mapping[str, Any] | None = None,
) -> None:
    """Serve the explorer of some run directories in this thread until interrupted.

    roots: further folders that projects may read from.
    announce: called with the address once the server listens.
    live: the model that explains single pictures, keys as in run.toml; {} leaves all of it to the run's own
    run.toml, None explains nothing.
    """
    with contextlib.ExitStack() as stack:
        projects = [stack.enter_context(open_project(path, roots)) for path in paths]
        token = new_token(host)
        models = {} if live is None else _live(projects, live)
        server = Server(make_app(projects, token=token, live=models).server, host, port, token)
        announce(server.url)
        if open_browser:
            server.open_browser()
        server.run()


def _live(projects: Sequence[Project], given: Mapping[str, Any]) -> dict[str, Live]:
    """Return the models of projects by name. given: as for load_live, without which torch is not loaded."""
    from backlight.core.run.model import load_live

    return {project.name: load_live(project, **given) for project in projects}
