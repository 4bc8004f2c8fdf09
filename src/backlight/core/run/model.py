"""The model of a run, ready to explain single pictures as the run explained its samples."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from backlight.core.composite import composite
from backlight.core.errors import FormatError, RequestError
from backlight.core.project import Project
from backlight.core.projects.live import Live, attribution_methods
from backlight.core.registry import registry
from backlight.core.run.identity import read_identity
from backlight.core.run.layout import CONFIG_FILE, RUN_FILE
from backlight.core.run.preparing import build_model, chosen_canonizers, chosen_composite, preprocessing
from backlight.core.run_config import build_config, read_config
from backlight.core.sources.models import weights_digest
from backlight.core.sources.preprocessing import Preprocessing


def load_live(project: Project, model: nn.Module | str | None = None, **given: Any) -> Live:
    """Return the model beside a project, with the settings of its run.

    model: the model itself, or how run.toml would name it. given: more keys of run.toml by field name, such
    as weights, classes, device; what is left open comes from the run's own run.toml. Raises RequestError
    where nothing names a model. Loading a model named `file.py:factory` runs that file.
    """
    recorded = read_identity(project.root) if (project.root / RUN_FILE).is_file() else {}
    file = project.root / CONFIG_FILE
    written = read_config(file) if file.is_file() else {}
    if model is None and not written.get("model"):
        raise RequestError(
            f"{project.path} does not name its model; give it, e.g. --model file.py:factory --weights FILE"
        )
    if isinstance(model, str):
        given = {"model": model, **given}
    elif model is not None:
        given = {**given, "model": type(model).__name__, "weights": None}
    config = build_config({"data": "-", "out": "-"}, written, given)
    network = build_model(config, config.weights) if model is None or isinstance(model, str) else model
    used = _preprocessing(recorded) or preprocessing(config)
    if used.size is None:
        used = replace(used, size=_stored_size(project))
    chosen = chosen_composite(config.composite, used)
    if "composite" in recorded:
        chosen = None if recorded["composite"] is None else composite(recorded["composite"])
    weights, kept = recorded.get("weights"), recorded.get("output")
    method, parameters = _method(recorded) or (config.method, config.parameters)
    return Live(
        network,
        used,
        composite=chosen,
        method=method,
        parameters=parameters,
        canonizers=chosen_canonizers(config.canonizers),
        same_weights=None if weights is None else weights == weights_digest(network),
        pooling=str(kept.get("pooling", config.pooling)) if isinstance(kept, dict) else config.pooling,
    )


def _preprocessing(recorded: Mapping[str, Any]) -> Preprocessing | None:
    written = recorded.get("preprocessing")
    if not isinstance(written, dict):
        return None
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in written.items()}
    try:
        return Preprocessing(**values)
    except TypeError as error:
        raise FormatError(f"the run's 'preprocessing' cannot be used ({error})") from error


def _stored_size(project: Project) -> tuple[int, int]:
    """Return the (height, width) of the project's pictures, which all went through the model as they are."""
    height, width = project.dataset.image(0).shape[:2]
    return height, width


def _method(recorded: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return name and parameters of the method that the run recorded as text, if it is installed."""
    with contextlib.suppress(SyntaxError, ValueError):
        call = ast.parse(str(recorded.get("method")), mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            parameters = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
            for name in attribution_methods():
                if getattr(registry().spec("processor", name).factory, "__name__", "") == call.func.id:
                    return name, parameters
    return None
