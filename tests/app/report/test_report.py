"""The report: one page that needs nothing else, holds what the analysis says, shows the right pictures."""

import base64
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from backlight.app.cli import main
from backlight.app.report.cards import cards
from backlight.app.report.page import page
from backlight.app.report.pictures import bars, data_uri, scatter
from backlight.core.analysis import analyze
from backlight.core.pictures.heatmap import channel_sum
from backlight.core.pipeline import Pipeline, Step, pipeline
from backlight.core.project import open_project
from backlight.plugins.processors.clusterings import Agglomerative
from synthetic_run import CLASSES, MARKED_CLASS, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    write_run(folder)
    analyze(folder, "spray", workers=1)
    return folder


@pytest.fixture(scope="module")
def html(run):
    out = run / "report.html"
    result = CliRunner().invoke(main, ["report", str(run), "-o", str(out)])
    assert result.exit_code == 0, result.output
    return out.read_text(encoding="utf-8")


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.sources = [], []

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("circle", "rect", "line"):
            return
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        pass


def test_the_page_is_well_formed_and_loads_nothing(html):
    parser = Links()
    parser.feed(html)
    assert parser.open == []
    assert len(parser.sources) > 30
    assert all(source.startswith(("data:image/png", "#")) for source in parser.sources)
    assert "url(" not in html and "<script" not in html


def test_the_page_holds_classes_settings_and_seed(html):
    assert "cat" in html and "&lt;b&gt;fish&lt;/b&gt;" in html and CLASSES[2] not in html
    assert 'class="badge">suspicious' in html
    assert "strategies" in html and "seed 0" in html and "neighbours" not in html.split("<table>")[0]


def test_the_marked_class_leads_and_its_card_shows_marked_samples(run):
    with open_project(run) as project:
        category = project.analysis("spray").category(CLASSES[MARKED_CLASS])
        first = cards(project, category, "strategies", 4, "coldnhot")[0]
        assert first.suspicious
        assert sorted(c.size for c in cards(project, category, "strategies", 0, "coldnhot")) == [16, 44]
        for shown in first.typical:
            assert (project.dataset.image(shown.sample.index)[:4, :4] == 255).all()
            assert (shown.picture == project.dataset.image(shown.sample.index)).all()


def test_typical_samples_are_those_closest_to_the_mean_of_shares(run):
    with open_project(run) as project:
        category = project.analysis("spray").category("cat")
        card = cards(project, category, "strategies", 3, "coldnhot")[-1]
        members = category.members("strategies", card.cluster)
        maps = [channel_sum(project.attributions.relevance(int(i))) for i in members]
        shares = [m / np.abs(m).sum() for m in maps]
        distances = [np.linalg.norm(s - np.mean(shares, axis=0)) for s in shares]
        order = [int(members[i]) for i in np.argsort(distances)]
        assert [shown.sample.index for shown in card.typical] == order[:3]
        assert [shown.sample.index for shown in card.outliers] == order[:-4:-1]


def test_a_card_says_how_the_model_does_on_its_samples(run, html):
    with open_project(run) as project:
        category = project.analysis("spray").category("cat")
        for card in cards(project, category, "strategies", 1, "coldnhot"):
            outputs = project.attributions.predictions(category.members("strategies", card.cluster))
            shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
            assert card.accuracy == (shares.argmax(axis=1) == 0).mean()
            assert card.confidence == pytest.approx(shares.max(axis=1).mean())
            assert f"accuracy {card.accuracy:.0%}, confidence {card.confidence:.0%}</p>" in html
        kept = cards(project, category, "hdbscan", 0, "coldnhot")
        assert all(0 < card.scores["persistence"] <= 1 and card.outliers == () for card in kept)


def test_a_sample_is_not_both_typical_and_far_from_the_mean(run):
    with open_project(run) as project:
        category = project.analysis("spray").category("cat")
        for card in cards(project, category, "strategies", 59, "coldnhot"):
            shown = [s.sample.index for s in (*card.typical, *card.outliers)]
            assert len(set(shown)) == len(shown) == card.size


def test_pictures_are_whole_and_enlarged_by_whole_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    encoded = data_uri(picture).partition(",")[2]
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert image.shape == (80, 96, 3)
    assert (image[::8, ::8] == picture).all()
    big = data_uri(np.zeros((600, 300, 3), np.uint8)).partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(big))).size == (112, 224)


def test_plots_of_nothing_and_of_many():
    assert scatter(np.zeros((0, 2)), np.zeros(0)) == "" and bars(np.zeros(0), 1) == ""
    many = scatter(np.random.default_rng(0).random((5000, 2)), np.zeros(5000, int))
    assert 1000 < many.count("<circle") <= 2000
    assert not re.search("nan|inf", scatter(np.ones((3, 2)), np.array([-1, 0, 9])))


def test_a_project_without_an_analysis_is_refused(tmp_path):
    write_run(tmp_path / "run")
    text = (tmp_path / "run" / "project.yaml").read_text(encoding="utf-8")
    (tmp_path / "run" / "project.yaml").write_text(
        re.sub(r"(?s)  analyses:.*?(?=\n\S|\Z)", "  analyses: []", text)
    )
    result = CliRunner().invoke(main, ["report", str(tmp_path / "run"), "-o", str(tmp_path / "r.html")])
    assert result.exit_code == 2 and "backlight analyze" in result.output
    assert not (tmp_path / "r.html").exists()


def test_a_dendrogram_is_drawn_and_written(tmp_path):
    root = write_run(tmp_path / "run").parent
    chain = pipeline("spray", picture=False)
    steps = (*chain.steps, Step("agglomerative", Agglomerative(3)))
    analyze(root, Pipeline("trees", steps), classes=[CLASSES[MARKED_CLASS]], workers=1)
    out, plots = tmp_path / "report.html", tmp_path / "plots"
    options = ["--analysis", "trees", "-o", str(out), "--plots", str(plots)]
    result = CliRunner().invoke(main, ["report", str(root), *options])
    assert result.exit_code == 0, result.output
    assert "last merges of agglomerative" in out.read_text(encoding="utf-8")
    with open_project(root) as project:
        category = next(iter(project.analysis("trees").categories.values()))
        tree, leaves = category.tree("agglomerative")
        assert category.tree("kmeans") is None
    drawn = [path for path in plots.iterdir() if "agglomerative" in path.name]
    assert len(drawn) == 1
    svg = ET.fromstring(drawn[0].read_text(encoding="utf-8"))
    assert len(svg.findall("{*}polyline")) == len(tree)
    assert len(svg.findall("{*}rect")) == len(leaves)


def test_tagged_samples_are_shown_with_their_notes(tmp_path):
    root = write_run(tmp_path / "run").parent
    analyze(root, pipeline("spray", picture=False), workers=1)
    with open_project(root) as project:
        chosen = project.attributions.indices[:3]
        assert "Chosen samples" not in page(project)
        project.annotations.tag("odd <ones>", chosen)
        project.annotations.note("odd <ones>", "a mark & nothing else")
        project.annotations.tag("many", project.attributions.indices[:40])
    with open_project(root) as project:
        html = page(project, samples=2)
        section = html[html.index("Chosen samples") :]
        assert "odd &lt;ones&gt;: 3 samples<" in section and "a mark &amp; nothing else" in section
        assert "many: 40 samples, the first 4" in section
        assert section.count("<figure>") == 3 + 4
        assert data_uri(project.dataset.image(int(chosen[0]))) in section
