"""From a config to what a run needs: the model behind an explainer, the samples, the settings."""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, final

import torch
from torch import nn

from backlight.core.composite import Composite
from backlight.core.composite import composite as build_composite
from backlight.core.errors import RequestError, first_line
from backlight.core.explainer import Explainer
from backlight.core.registry import registry
from backlight.core.run.identity import digest_json
from backlight.core.run.settings import Channels, Compression, Output, Pooling, Precision, Settings
from backlight.core.run_config import Config, to_toml
from backlight.core.sources.data import Source, open_source
from backlight.core.sources.models import load_model
from backlight.core.sources.preprocessing import Preprocessing
from backlight.core.sources.pretrained import pretrained
from backlight.core.sources.subset import chosen


@final
@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start. described: facts for run.json beside those the parts tell themselves."""

    explainer: Explainer
    source: Source
    settings: Settings
    described: dict[str, Any]
    notes: tuple[str, ...] = ()


def prepare(config: Config, *, trial: bool = False) -> Prepared:
    """Build everything a config names; nothing is written.

    trial: take random weights, and say so in a note, where named weights would have to be downloaded.
    """
    settings = _settings(config)
    source = open_samples(config)
    weights = config.weights
    notes: tuple[str, ...] = ()
    named = pretrained(config.model, weights, config.download) if weights else None
    if trial and named is not None and not named.here():
        weights, notes = None, (f"weights {config.weights!r} would be downloaded; random ones stand in here",)
    explainer = Explainer(
        build_model(config, weights),
        composite=chosen_composite(config.composite, settings.preprocessing),
        method=config.method,
        canonizers=chosen_canonizers(config.canonizers),
        **(config.parameters or {}),
    )
    return Prepared(explainer, source, settings, describe(config), notes)


def open_samples(config: Config) -> Source:
    """Open the data of a config and choose the samples."""
    download = Path("datasets") if config.download else None
    source = open_source(config.data, download=download, split=config.split)
    index = Path(config.index) if config.index else None
    return chosen(
        source,
        classes=config.only,
        index=index,
        per_class=config.per_class,
        split=config.split,
        seed=config.seed,
    )


def describe(config: Config) -> dict[str, Any]:
    """Return the facts of run.json that only the config knows."""
    recorded = tomllib.loads(to_toml(config, Path(config.out)))
    return {
        "model": _portable(config.model),
        "seed": config.seed,
        "config": recorded,
        "config_digest": digest_json(recorded),
    }


def _portable(spec: str) -> str:
    """Name a model without the folder its file lies in."""
    source, _, name = spec.rpartition(":")
    return f"{Path(source).name}:{name}" if source.endswith(".py") else spec


def build_model(config: Config, weights: str | None) -> nn.Module:
    """Build the model of a config with these weights, on its device."""
    arguments = {"num_classes": config.classes} if config.classes else {}
    with torch.random.fork_rng(devices=[]):  # weights that are drawn are the same in every run of one seed
        torch.manual_seed(config.seed)
        model = load_model(
            config.model, weights, download=config.download, trusted=config.weights_trusted, **arguments
        )
    try:
        return model.to(config.device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was compiled for a device
        raise RequestError(f"device {config.device!r} cannot be used: {first_line(error)}") from error


def _settings(config: Config) -> Settings:
    return Settings(
        preprocessing(config),
        config.target,
        config.batch_size,
        config.shard_size,
        config.failure_limit,
        Output(
            cast(Precision, config.precision),
            cast(Compression, config.compression),
            cast(Channels, config.channels),
            config.layer,
            cast(Pooling, config.pooling),
        ),
        min(4, os.cpu_count() or 1) if config.decoders is None else config.decoders,
    )


def preprocessing(config: Config) -> Preprocessing:
    """Return the preprocessing that a config gives, for the rest that of named weights."""
    named = pretrained(config.model, config.weights, config.download) if config.weights else None
    base = named.preprocessing if named else Preprocessing()
    fresh = config.size is not None  # another size makes the library's resizing meaningless
    return Preprocessing(
        config.size or base.size,
        config.mean or base.mean,
        config.std or base.std,
        config.resize or (None if fresh or config.stretch else base.resize),
        config.interpolation or base.interpolation,
        config.stretch or (base.stretch and not fresh),
    )


def chosen_canonizers(names: Sequence[str]) -> Literal["auto"] | Sequence[str]:
    """Return the canonizers of a config as an explainer takes them."""
    if tuple(names) == ("auto",):
        return "auto"
    return () if tuple(names) == ("none",) else names


def chosen_composite(name: str, used: Preprocessing) -> Composite | None:
    """Build a composite, with the input's bounds for a preset that takes them; "none" gives None."""
    if name == "none":
        return None
    if name not in registry().names("composite"):
        return build_composite(name)
    accepted = inspect.signature(registry().spec("composite", name).factory).parameters
    low, high = used.bounds
    bounds = {"low": low, "high": high} if {"low", "high"} <= accepted.keys() else {}
    return build_composite(name, **bounds)
