"""The analysis file: one group per category with index, embeddings, clusterings, scores (docs/formats.md).

Backlight computes spectral columns by ascending eigenvalue; ViRelAy reads them by descending. `_embedding`
is the one place that converts. What ViRelAy does not know lives in `score/`, `membership/` and attributes,
which it does not visit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from backlight.core.pipeline import Pipeline, Results, Step

Array = NDArray[Any]

RANKING = ("suspicion", "tau")
"""Scores that categories are ranked by, the first that an analysis has; `ranked_by` says which."""

SCORES = {
    "suspicion": "suspicion",
    "homophily": "homophily",
    "tau": "tau",
    "by chance": "baseline",
    "contrast": "contrast",
}
"""What tables call a category's scores -> the field of its `Finding`."""

_ALIGNED = "cluster"  # the output of a score step that says which cluster each value of its arrays belongs to


@dataclass(frozen=True)
class Finding:
    """What an analysis says about one category; NaN and -1 where the pipeline has no such score.

    suspicion: what categories are ranked by, falling: the value of the score `ranked_by`; minus infinity
    where there is none.
    suspicious_purity: share of the most frequent prediction in the suspicious cluster. left_out: samples
    whose relevance was not finite, which were not analysed.
    """

    category: str
    name: str
    size: int
    suspicion: float
    ranked_by: str
    homophily: float
    tau: float
    baseline: float
    eigengap: int
    clusters: int
    contrast: float
    suspicious_cluster: int
    suspicious_size: int
    suspicious_purity: float
    left_out: int


@dataclass(frozen=True)
class Record:
    """Content of one category's group: path of a dataset -> its values and attributes."""

    category: str
    datasets: Mapping[str, tuple[Any, Mapping[str, Any]]]
    attributes: Mapping[str, Any] = field(default_factory=dict)


def record(category: str, indices: Array, left_out: Array, results: Results) -> Record:
    """Return the content of a category's group. indices: dataset index of every row of the results."""
    datasets: dict[str, tuple[Any, Mapping[str, Any]]] = {"index": (indices.astype(np.uint32), {})}
    attributes: dict[str, Any] = {"left_out": left_out.astype(np.uint32)}
    bound = results.pipeline.bindings()
    for step in results.pipeline.steps:
        if step.name in results:
            sources = {port: source.partition(".")[0] for port, source in bound[step.name].items()}
            outputs = results[step.name]
            if step.processor.stage == "embedding":
                datasets |= _embedding(step, outputs, sources)
            elif step.processor.stage == "clustering":
                datasets |= _clustering(step, outputs, sources)
            elif step.processor.stage == "score":
                datasets |= _score(step, outputs, sources)
                if "suspicious_cluster" in outputs and "suspicious_cluster" not in attributes:
                    attributes["suspicious_cluster"] = int(outputs["suspicious_cluster"])
                    attributes["suspicious_clustering"] = sources.get("labels", "")
    ranked_by, suspicion = _suspicion(results)
    return Record(category, datasets, attributes | {"ranked_by": ranked_by, "suspicion": suspicion})


def write_record(file: h5py.File, content: Record) -> h5py.Group:
    """Write one category and return its group."""
    group = file.create_group(content.category)
    group.attrs.update(content.attributes)
    for path, (values, attributes) in content.datasets.items():
        group.create_dataset(path, data=values).attrs.update(attributes)
    return group


def file_attributes(pipeline: Pipeline, seed: int, by: str, version: str) -> dict[str, Any]:
    """Return the attributes of an analysis file, which say how it came to be."""
    return {"backlight": version, "pipeline": json.dumps(pipeline.to_dict()), "seed": seed, "by": by}


def finding(group: h5py.Group, name: str) -> Finding:
    """Read back what the analysis says about one category; `name` is what a person calls it."""
    scores = group.get("score", {})
    suspicious = int(group.attrs.get("suspicious_cluster", -1))

    def scalar(path: str) -> float:
        return float(scores[path][()]) if path in scores and scores[path].shape == () else math.nan

    def of_suspicious(path: str) -> float:
        if path not in scores or suspicious < 0:
            return math.nan
        values = scores[path][()][np.asarray(scores[path].attrs[_ALIGNED]) == suspicious]
        return float(values[0]) if len(values) else math.nan

    tau = scores["tau"].attrs if "tau" in scores else {}
    ranked_by = str(group.attrs.get("ranked_by", "tau"))
    suspicion = float(group.attrs.get("suspicion", scalar("tau")))
    return Finding(
        category=group.name.strip("/"),
        name=name,
        size=len(group["index"]),
        suspicion=-math.inf if math.isnan(suspicion) else suspicion,
        ranked_by=ranked_by,
        homophily=scalar("homophily"),
        tau=scalar("tau"),
        baseline=float(tau.get("baseline", math.nan)),
        eigengap=_whole(scalar("eigengap")),
        clusters=int(tau.get("cluster_count", -1)),
        contrast=scalar("contrast"),
        suspicious_cluster=suspicious,
        suspicious_size=_whole(of_suspicious("cluster-size")),
        suspicious_purity=of_suspicious("purity"),
        left_out=len(group.attrs.get("left_out", ())),
    )


def _suspicion(results: Results) -> tuple[str, float]:
    """Return what the category is ranked by, and the value; "" and NaN without such a score."""
    for name in RANKING:
        for outputs in results.values():
            if name in outputs:
                return name, float(outputs[name])
    return "", math.nan


def _whole(value: float) -> int:
    return -1 if math.isnan(value) else int(value)


def _embedding(
    step: Step, outputs: Mapping[str, Any], sources: Mapping[str, str]
) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """Return an embedding as ViRelAy wants it: spectral columns by descending eigenvalue, two or more."""
    values = np.asarray(outputs[step.processor.yields[0]], dtype=np.float32)
    attributes: dict[str, Any] = {"embedding": step.name, **_parameters(step)}
    if sources.get("embedding"):
        attributes["computed_on"] = sources["embedding"]
    missing = max(0, 2 - values.shape[1])
    if "eigenvalues" in outputs:
        # Columns that fill up to two come first, where the large eigenvalues are: they say nothing.
        values = np.pad(values[:, ::-1], ((0, 0), (missing, 0)))
        eigenvalues = np.pad(
            np.asarray(outputs["eigenvalues"], dtype=np.float64)[::-1], (missing, 0), constant_values=2.0
        )
        attributes |= {"eigenvalue": eigenvalues, "laplacian_eigenvalue": eigenvalues, "order": "descending"}
    else:
        values = np.pad(values, ((0, 0), (0, missing)))
    return {f"embedding/{step.name}": (np.ascontiguousarray(values), attributes)}


def _clustering(
    step: Step, outputs: Mapping[str, Any], sources: Mapping[str, str]
) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    labels = np.asarray(outputs[step.processor.yields[0]], dtype=np.int32)
    attributes = {
        "embedding": sources.get("embedding", ""),
        "k": len(np.unique(labels[labels >= 0])),
        **_parameters(step),
    }
    if "persistence" in outputs:
        attributes["persistence"] = np.asarray(outputs["persistence"], dtype=np.float32)
    written: dict[str, tuple[Any, Mapping[str, Any]]] = {f"cluster/{step.name}": (labels, attributes)}
    if "probabilities" in outputs:
        written[f"membership/{step.name}"] = (np.asarray(outputs["probabilities"], dtype=np.float32), {})
    if "tree" in outputs:
        leaves = {"leaves": np.asarray(outputs["leaves"])}
        written[f"tree/{step.name}"] = (np.asarray(outputs["tree"], dtype=np.float64), leaves)
    return written


def _score(
    step: Step, outputs: Mapping[str, Any], sources: Mapping[str, str]
) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """Return the first number under the step's name, the others beside it, arrays under their own names."""
    arrays = {n: np.asarray(v) for n, v in outputs.items() if np.ndim(v) and n != _ALIGNED}
    numbers = {name: value for name, value in outputs.items() if not np.ndim(value)}
    attributes: dict[str, Any] = {"clustering": sources["labels"]} if "labels" in sources else {}
    if "embedding" in sources:
        attributes["embedding"] = sources["embedding"]
    aligned = {_ALIGNED: np.asarray(outputs[_ALIGNED])} if _ALIGNED in outputs else {}
    written: dict[str, tuple[Any, Mapping[str, Any]]] = {
        f"score/{name.replace('_', '-')}": (values, {**attributes, **aligned})
        for name, values in arrays.items()
    }
    first = next(iter(name for name in step.processor.yields if name in numbers), None)
    if first is not None:
        beside = {name: value for name, value in numbers.items() if name != first}
        written[f"score/{step.name}"] = (numbers[first], {**attributes, **beside})
    return written


def _parameters(step: Step) -> dict[str, Any]:
    """Return a step's parameters as attributes' values; names that the format itself uses are left to it."""
    return {
        "parameters": json.dumps(
            {name: value for name, value in step.processor.parameters().items() if value is not None},
            default=str,
        )
    }
