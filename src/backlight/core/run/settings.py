"""How a dataset is attributed, and in which form the results are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal, final, get_args

from backlight.core.errors import RequestError, unknown
from backlight.core.sources.preprocessing import Preprocessing

_CLASSES = re.compile(r"true|predicted|contrastive|\d+")
Precision = Literal["float32", "float16"]
Compression = Literal["gzip", "lzf", "none"]
Channels = Literal["raw", "sum"]
Pooling = Literal["channel", "full"]


@final
@dataclass(frozen=True)
class Output:
    """What is kept of the relevance.

    precision: of all relevance; float16 halves the files and refuses samples that do not fit it.
    compression: of pictures and relevance; takes more time than reading and writing together.
    channels: "raw" keeps (C, H, W), "sum" the sum over channels, (1, H, W).
    layers: names of modules whose relevance is kept too.
    pooling: of layers; "channel" sums over positions, "full" keeps them, channels first.
    """

    precision: Precision = "float32"
    compression: Compression = "none"
    channels: Channels = "raw"
    layers: tuple[str, ...] = ()
    pooling: Pooling = "channel"

    def __post_init__(self) -> None:
        _one_of("precision", self.precision, Precision)
        _one_of("compression", self.compression, Compression)
        _one_of("channels", self.channels, Channels)
        _one_of("pooling", self.pooling, Pooling)

    @property
    def filters(self) -> dict[str, Any]:
        """Options of h5py for datasets of pictures and relevance."""
        if self.compression == "none":
            return {}
        level = {"compression_opts": 1} if self.compression == "gzip" else {}
        return {"compression": self.compression, "shuffle": True, **level}


@final
@dataclass(frozen=True)
class Settings:
    """How a dataset is attributed.

    target: which class is explained: "true", "predicted", a class as "3", or "contrastive", the predicted
        class less the mean of all others.
    failure_limit: share of samples that may be unreadable or have no finite relevance.
    decoders: threads that read pictures while the model works; results do not depend on it.
    """

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    target: str = "true"
    batch_size: int = 64
    shard_size: int = 1024
    failure_limit: float = 0.01
    output: Output = field(default_factory=Output)
    decoders: int = 2

    @property
    def explained(self) -> str | int:
        """What to ask an explainer for."""
        return int(self.target) if self.target.isdecimal() else self.target

    def __post_init__(self) -> None:
        if not _CLASSES.fullmatch(self.target):
            raise RequestError(
                f"target is {self.target!r}, expected one explanation per sample: true, predicted, "
                "contrastive or the number of a class"
            )
        if self.batch_size < 1 or self.shard_size < 1:
            raise RequestError(
                f"batch size {self.batch_size} and shard size {self.shard_size} must be at least 1"
            )
        if self.decoders < 1:
            raise RequestError(f"{self.decoders} decoders cannot read anything; give at least 1")


def _one_of(what: str, value: str, kind: Any) -> None:
    if value not in get_args(kind):
        raise RequestError(unknown(what, str(value), get_args(kind)))
