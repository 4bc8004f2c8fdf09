"""One file that describes a run completely: every key of run.toml is also an option of the command."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from backlight.core.errors import FormatError, RequestError, unknown

Kind = Literal["text", "texts", "path", "where", "whole", "share", "flag", "size", "channels", "table"]


def _key(kind: Kind, default: Any, explained: str, *, option: str = "") -> Any:
    return dataclasses.field(
        default=default, metadata={"kind": kind, "help": explained, "option": option or None}
    )


@final
@dataclass(frozen=True)
class Config:
    """Everything that describes a run; None means that the model or the machine decides."""

    model: str = _key(
        "where", None, "A torchvision model, timm/NAME, hf/NAME, package.module:name or file.py:name."
    )
    weights: str | None = _key(
        "where", None, "A .safetensors file, a checkpoint of tensors, or a name such as DEFAULT; else random."
    )
    weights_trusted: bool = _key(
        "flag", False, "Load weights from any pickle, which may run code of whoever made it."
    )
    classes: int | None = _key("whole", None, "Number of the model's outputs, passed as num_classes.")
    data: str = _key(
        "where", None, "A folder of class folders, an HDF5 file, a torchvision dataset or module:factory."
    )
    split: str | None = _key("text", None, "Part of the data: train or test.")
    only: tuple[str, ...] = _key("texts", (), "Keep this class; repeatable.")
    index: str | None = _key("path", None, "File of sample numbers to keep: .npy, .json or one a line.")
    per_class: int | None = _key("whole", None, "At most so many samples of each class, drawn by the seed.")
    download: bool = _key("flag", False, "Allow datasets and named weights to be downloaded.")
    out: str = _key("path", None, "The run directory.")
    name: str | None = _key("text", None, "Name of the project; default: the run directory's.")
    composite: str = _key(
        "where", "epsilon-plus", "A preset, a rule or a composite file; 'none' gives the plain gradient."
    )
    method: str = _key("text", "gradient", "An attribution method.")
    parameters: Mapping[str, Any] | None = _key("table", None, "A parameter of the method.", option="set")
    canonizers: tuple[str, ...] = _key("texts", ("auto",), "Canonizers: auto, none, or names; repeatable.")
    target: str = _key("text", "true", "What is explained: true, predicted, contrastive or a class number.")
    size: tuple[int, int] | None = _key(
        "size", None, "Height and width of the model's input; pictures are resized and cropped."
    )
    resize: int | None = _key("whole", None, "Length of the shorter side before cropping.")
    interpolation: str | None = _key("text", None, "How pictures are resized: bilinear, bicubic, nearest.")
    stretch: bool = _key("flag", False, "Resize both sides to the size and crop nothing.")
    mean: tuple[float, ...] | None = _key(
        "channels", None, "Subtracted from pictures in [0, 1]; one number, or three separated by commas."
    )
    std: tuple[float, ...] | None = _key(
        "channels", None, "Divides pictures after that; one number, or three separated by commas."
    )
    batch_size: int = _key("whole", 64, "Samples explained at a time.")
    shard_size: int = _key("whole", 1024, "Samples a file; a killed run loses at most one.")
    failure_limit: float = _key("share", 0.01, "Share of samples that may fail before the run stops.")
    precision: str = _key("text", "float32", "Of the relevance kept: float32 or float16.")
    compression: str = _key("text", "none", "Of pictures and relevance: none, lzf or gzip.")
    channels: str = _key("text", "raw", "Relevance kept per channel (raw) or summed over them (sum).")
    layer: tuple[str, ...] = _key("texts", (), "Keep the relevance of this layer too; repeatable.")
    pooling: str = _key("text", "channel", "Relevance of layers by channel, or in full.")
    seed: int = _key("whole", 0, "Of everything random.")
    device: str = _key("text", "cpu", "Where the model runs, e.g. cuda.")
    decoders: int | None = _key("whole", None, "Threads that read pictures; default: up to four.")
    cluster: str | None = _key("text", None, "Make the shards on dask.distributed: local:N or an address.")


FIELDS = {field.name.replace("_", "-"): field for field in dataclasses.fields(Config)}
"""Key of run.toml -> field."""


def read_config(path: Path) -> dict[str, Any]:
    """Return what a run.toml says, by field name; paths in it are relative to its folder.

    Raises RequestError naming a key that is unknown, FormatError for a file that is no TOML.
    """
    if not path.is_file():
        raise RequestError(f"{path} does not exist; expected a file such as run.toml")
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} is not valid TOML: {error}") from error
    given: dict[str, Any] = {}
    for key, value in found.items():
        if key not in FIELDS:
            raise RequestError(f"{path}: {unknown('key', key, FIELDS)}")
        try:
            parsed = parse(key, value)
        except RequestError as error:
            raise RequestError(f"{path}: {error}") from None
        given[FIELDS[key].name] = moved(FIELDS[key].metadata["kind"], parsed, path.parent)
    return given


def build_config(*layers: Mapping[str, Any]) -> Config:
    """Return the config of several layers of values by field name; a later one wins."""
    values: dict[str, Any] = {}
    for layer in layers:
        values |= layer
    for key in ("model", "data", "out"):
        if not values.get(key):
            raise RequestError(f"a run needs {key!r}: give --{key} or the key in run.toml")
    return Config(**values)


def parse(key: str, value: Any) -> Any:
    """Return the value of one key, from TOML or an option's text; RequestError if it does not fit."""
    kind: Kind = FIELDS[key].metadata["kind"]
    try:
        return _PARSERS[kind](value)
    except (ValueError, TypeError):
        raise RequestError(f"{key} is {value!r}, expected {_EXPECTED[kind]}") from None


def moved(kind: Kind, value: Any, folder: Path) -> Any:
    """Return a value whose relative path counts from `folder`, as one that counts from here."""
    if not isinstance(value, str) or kind not in ("path", "where") or folder == Path():
        return value
    source, colon, name = value.rpartition(":")
    if colon and source.endswith(".py"):
        return f"{folder / source}:{name}"
    is_path = kind == "path" or (folder / value).exists() or "/" in value.rstrip("/") or Path(value).suffix
    plain = value.startswith(("timm/", "hf/")) or (colon and name.isidentifier())
    return str(folder / value) if is_path and not plain else value


def to_toml(config: Config, folder: Path) -> str:
    """Return a run.toml for `folder` that gives the same config; what has its default is left out."""
    lines = []
    for key, field in FIELDS.items():
        value = getattr(config, field.name)
        if value is None or value == field.default or (field.metadata["kind"] == "table" and not value):
            continue
        lines.append(f"{key} = {_toml(_relative(field.metadata['kind'], value, folder))}\n")
    return "".join(lines)


def resolved(config: Config, preprocessing: Mapping[str, Any], decoders: int) -> dict[str, Any]:
    """Return every key with the value it ends up with, but for those that stay without any."""
    found = {key: getattr(config, field.name) for key, field in FIELDS.items()}
    found |= {**preprocessing, "decoders": decoders}
    return {key: value for key, value in found.items() if value not in (None, (), {}, [])}


def _relative(kind: Kind, value: Any, folder: Path) -> Any:
    """Write a path so that it counts from `folder`."""
    if not isinstance(value, str) or kind not in ("path", "where"):
        return value
    source, colon, name = value.rpartition(":")
    if colon and source.endswith(".py"):
        return f"{os.path.relpath(source, folder)}:{name}"
    return os.path.relpath(value, folder) if kind == "path" or Path(value).exists() else value


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list | tuple) else (_text(value),)


def _whole(value: Any) -> int:
    if isinstance(value, bool | float) or not 0 <= int(value) < 2**63:
        raise TypeError
    return int(value)


def _share(value: Any) -> float:
    if isinstance(value, bool) or not 0 <= float(value) <= 1:
        raise ValueError
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _size(value: Any) -> tuple[int, int]:
    parts = value.lower().split("x") if isinstance(value, str) else value
    numbers = [_whole(part) for part in (parts if isinstance(parts, list | tuple) else [parts])]
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise ValueError
    return numbers[0], numbers[-1]


def _channels(value: Any) -> tuple[float, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    numbers = tuple(float(part) for part in (parts if isinstance(parts, list | tuple) else [parts]))
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
        raise ValueError
    return numbers * 3 if len(numbers) == 1 else numbers


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return {str(key): item for key, item in value.items()}


_PARSERS: Mapping[Kind, Any] = {
    "text": _text,
    "texts": _texts,
    "path": _text,
    "where": _text,
    "whole": _whole,
    "share": _share,
    "flag": _flag,
    "size": _size,
    "channels": _channels,
    "table": _table,
}

_EXPECTED: Mapping[Kind, str] = {
    "text": "text",
    "texts": "a list of texts",
    "path": "a path",
    "where": "a name or a path",
    "whole": "a whole number from 0 to 2^63 - 1",
    "share": "a number from 0 to 1",
    "flag": "true or false",
    "size": "a size such as 224 or 224x224",
    "channels": "one number, or three separated by commas",
    "table": "a table",
}
