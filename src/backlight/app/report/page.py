"""The page: ranked classes, a section per class with its cluster cards, what it was made with."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

import numpy as np

from backlight.app.report.cards import Card, Shown, cards, pictured
from backlight.app.report.pictures import bars, colour, data_uri, dendrogram, scatter
from backlight.core.analysis import ranking
from backlight.core.analysis_file import SCORES, Finding
from backlight.core.errors import RequestError
from backlight.core.project import Analysis, Category, Project
from backlight.core.run import RUN_FILE
from backlight.core.store import open_hdf5

_STYLE = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")

_UNTOLD = ("cluster-size", "cluster-feature")  # the first is in the heading, the second no figure to read


def page(
    project: Project,
    method: str | None = None,
    *,
    classes: int = 10,
    samples: int = 6,
    cmap: str = "coldnhot",
) -> str:
    """Return the report of one analysis as HTML that needs no other file.

    method: which analysis; None takes the first. classes: so many of the most suspicious have a section.
    samples: shown of each cluster. Raises RequestError for a project without analyses.
    """
    analysis, findings = _findings(project, method)
    sections = [
        _section(project, analysis.category(row.category), row, samples, cmap) for row in findings[:classes]
    ]
    title = escape(f"{project.name}: {analysis.method}")
    lead = escape(
        f"{len(project.attributions.indices)} samples of {project.dataset.name}, explained for "
        f"{project.model} by {project.attributions.method or 'an unnamed method'}; "
        f"{len(findings)} classes analysed."
    )
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style></head><body>",
            f'<h1>{title}</h1><p class="lead">{lead}</p>',
            "<h2>Classes by suspicion</h2>",
            _ranking(findings, classes),
            *sections,
            *_tagged(project, 2 * samples, cmap),
            _provenance(project, analysis),
            "</body></html>",
            "",
        ]
    )


def figures(project: Project, method: str | None = None, *, classes: int = 10) -> dict[str, str]:
    """Return the plots of the most suspicious classes as SVG, by file name. Arguments as for `page`."""
    analysis, findings = _findings(project, method)
    found: dict[str, str] = {}
    for row in findings[:classes]:
        category = analysis.category(row.category)
        for svg, caption in plots(category, _shown(category), row.eigengap):
            name = re.sub(r"[^\w.-]+", "-", f"{row.category} {caption.partition(',')[0]}")
            found[f"{name}.svg"] = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return found


def _findings(project: Project, method: str | None) -> tuple[Analysis, list[Finding]]:
    """Return an analysis, the first unless one is named, and its classes by falling suspicion."""
    if not project.analyses:
        raise RequestError(
            f"project {project.name!r} has no analysis to report; run `backlight analyze` first"
        )
    analysis = project.analysis(method or next(iter(project.analyses)))
    findings = [row for path in analysis.paths for row in ranking(path, project.labels)]
    return analysis, sorted(findings, key=lambda row: (-row.suspicion, row.category))


def _shown(category: Category) -> str | None:
    """Return the clustering that is shown: the one with the suspicious cluster, or the first."""
    return category.suspicious[0] if category.suspicious else next(iter(category.clusterings), None)


def _ranking(findings: Sequence[Finding], sections: int) -> str:
    heads = ("class", "samples", *SCORES, "eigengap", "suspicious", "its purity")
    rows = []
    for rank, row in enumerate(findings, start=1):
        name = escape(row.name)
        linked = f'<a href="#{escape(row.category)}">{name}</a>' if rank <= sections else name
        purity = "–" if math.isnan(row.suspicious_purity) else f"{row.suspicious_purity:.0%}"
        size = "–" if row.suspicious_size < 0 else f"{row.suspicious_size} samples"
        gap = "–" if row.eigengap < 0 else str(row.eigengap)
        scores = (_figure(getattr(row, field)) for field in SCORES.values())
        figures = [row.size, *scores, gap, size, purity]
        rows.append(f"<tr><td>{rank}. {linked}</td>{''.join(f'<td>{x}</td>' for x in figures)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in heads)
    ranked_by = next((row.ranked_by for row in findings if row.ranked_by), "name")
    note = (
        f"<p>Ranked by {escape(ranked_by)}. Suspicion is contrast times homophily: contrast is what the "
        "suspicious cluster shows and the rest does not, in standard deviations, homophily how far both keep "
        "to themselves among nearest neighbours (0 by chance, 1 entirely). tau says how far apart they lie, "
        "next to its value for labels dealt out by chance. Scores rank, they prove nothing: look at the "
        "cards.</p>"
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{note}"


def _section(project: Project, category: Category, row: Finding, samples: int, cmap: str) -> str:
    clustering = _shown(category)
    shown = cards(project, category, clustering, samples, cmap) if clustering else []
    left_out = (
        f" {row.left_out} samples were left out: their relevance is not finite." if row.left_out else ""
    )
    scores = {
        "suspicion": row.suspicion,
        "homophily": row.homophily,
        "tau": row.tau,
        "contrast": row.contrast,
    }
    figures = ", ".join([f"{row.size} samples", *(f"{name} {_figure(x)}" for name, x in scores.items())])
    by = f" Clusters by {escape(clustering)}." if clustering else ""
    return "\n".join(
        [
            f'<section class="class" id="{escape(row.category)}"><h2>{escape(row.name)}</h2>',
            f"<p>{figures}.{by}{left_out}</p>",
            _plots(category, clustering, row.eigengap),
            *(_card(card) for card in shown),
            "</section>",
        ]
    )


def _plots(category: Category, clustering: str | None, eigengap: int) -> str:
    """Return the plots of a class, side by side."""
    figures = (
        f"<figure>{svg}<figcaption>{escape(text)}</figcaption></figure>"
        for svg, text in plots(category, clustering, eigengap)
    )
    return f'<div class="plots">{"".join(figures)}</div>'


def plots(category: Category, clustering: str | None, eigengap: int) -> list[tuple[str, str]]:
    """Return SVG and caption of embedding, spectrum and trees, where there are any."""
    drawn = []
    flat = [name for name in category.embeddings if category.embedding(name).dimensions == 2]
    if flat:
        labels = category.clusters(clustering) if clustering else np.zeros(len(category.index), int)
        drawn.append((scatter(category.embedding(flat[0]).all(), labels), f"{flat[0]}, coloured by cluster"))
    spectra = [e for e in map(category.embedding, category.embeddings) if e.eigenvalues is not None]
    if spectra:
        values = np.sort(np.asarray(spectra[0].eigenvalues))[:32]
        drawn.append((bars(values, eigengap), "smallest eigenvalues, the largest gap marked"))
    trees = {name: category.tree(name) for name in category.clusterings}
    drawn += [
        (dendrogram(*tree), f"last merges of {name}") for name, tree in trees.items() if tree and len(tree[0])
    ]
    return drawn


def _card(card: Card) -> str:
    badge = ' <span class="badge">suspicious</span>' if card.suspicious else ""
    shown = {name: value for name, value in card.scores.items() if name not in _UNTOLD}
    told = [f"{escape(n.removeprefix('cluster-'))} {_figure(v)}" for n, v in shown.items()]
    of_model = {"accuracy": card.accuracy, "confidence": card.confidence}
    told += [f"{name} {value:.0%}" for name, value in of_model.items() if value is not None]
    mean = _image(data_uri(card.mean_heatmap), "mean heatmap")
    if card.mean_picture is not None:
        mean = _image(data_uri(card.mean_picture), "mean picture") + mean
    typical = "".join(_sample(shown) for shown in card.typical)
    odd = "".join(_sample(shown, "far from the mean: ") for shown in card.outliers)
    return (
        f'<article class="card" style="--colour: {colour(card.cluster)}">'
        f"<h3>Cluster {card.cluster}: {card.size} samples, {card.share:.0%}{badge}</h3>"
        f"<p>{', '.join(told)}</p>"
        f'<div class="row"><figure><div class="pair">{mean}</div><figcaption>mean</figcaption></figure>'
        f"{typical}{odd}</div></article>"
    )


def _sample(shown: Shown, note: str = "") -> str:
    sample = shown.sample
    top = f"{sample.predicted[0][0]} {sample.predicted[0][1]:.0%}" if sample.predicted else ""
    verdict = ' class="wrong"' if sample.correct is False else ""
    name = escape(sample.file_name or str(sample.index))
    return (
        f'<figure><div class="pair">{_image(data_uri(shown.picture), "picture")}'
        f"{_image(data_uri(shown.heatmap), 'heatmap')}</div>"
        f"<figcaption>{note}{name}<br><span{verdict}>{escape(top)}</span></figcaption></figure>"
    )


def _tagged(project: Project, most: int, cmap: str) -> list[str]:
    """Return a section with the samples that people tagged, or nothing; of a big tag the first `most`."""
    articles = []
    for tag in project.annotations.tags().values():
        known = tag.samples[project.attributions.holds(tag.samples)]
        pictures = "".join(_sample(sample) for sample in pictured(project, known[:most].tolist(), cmap))
        note = f"<p>{escape(tag.note)}</p>" if tag.note else ""
        more = f", the first {most}" if len(known) > most else ""
        articles.append(
            f'<article class="card"><h3>{escape(tag.name)}: {len(tag.samples)} samples{more}</h3>{note}'
            f'<div class="row">{pictures}</div></article>'
        )
    return ['<section class="class"><h2>Chosen samples</h2>', *articles, "</section>"] if articles else []


def _image(source: str, label: str) -> str:
    return f'<img src="{source}" alt="{label}" title="{label}">'


def _provenance(project: Project, analysis: Analysis) -> str:
    """Return what the run and the analysis were made with."""
    with open_hdf5(analysis.paths[0]) as file:
        attributes = {str(key): value for key, value in file.attrs.items()}
    pipeline = _json(attributes.get("pipeline"))
    steps = pipeline.get("steps", []) if isinstance(pipeline, dict) else []
    rows = []
    for step in steps:
        parameters = ", ".join(f"{k} = {v}" for k, v in dict(step.get("parameters", {})).items())
        cells = (step.get("name", ""), step.get("processor", ""), parameters)
        rows.append("<tr>" + "".join(f'<td class="left">{escape(str(c))}</td>' for c in cells) + "</tr>")
    made = {k: v for k, v in attributes.items() if k != "pipeline"}
    told = ", ".join(f"{escape(str(k))} {escape(str(v))}" for k, v in made.items()) or "not recorded"
    run = project.root / RUN_FILE
    document = _json(run.read_text(encoding="utf-8")) if run.is_file() else None
    text = escape(json.dumps(document, indent=1, ensure_ascii=False)) if document else "not recorded"
    head = "".join(f'<th class="left">{name}</th>' for name in ("step", "processor", "parameters"))
    return (
        f'<section class="class"><h2>How this was made</h2><p>Analysis: {told}.</p>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"<h3>Attribution</h3><pre>{text}</pre></section>"
    )


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def _figure(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
