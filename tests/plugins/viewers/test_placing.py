"""Where a heatmap is placed, against a direct computation of its nearest samples."""

import numpy as np
import pytest

from backlight.core.analysis import analyze
from backlight.core.errors import RequestError
from backlight.core.pipeline import Pipeline, Step, pipeline
from backlight.core.project import open_project
from backlight.core.projects.live import Question, picture_of
from backlight.core.run.model import load_live
from backlight.plugins.processors.neighbours import Knn
from backlight.plugins.processors.reduction import Pca
from backlight.plugins.viewers.placing import NEAREST, Front, likeness, place, space_of
from live_run import write_live_run
from synthetic_run import write_run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_live_run(tmp_path_factory.mktemp("live"))


def normalised_sums(relevance):
    """Return what the preset compares, written out: channels summed, divided by Σ|R|, as rows."""
    flat = np.asarray(relevance, dtype=np.float64).sum(1).reshape(len(relevance), -1)
    return flat / np.abs(flat).sum(1, keepdims=True)


def test_the_nearest_and_their_weights_are_as_written_out(root):
    with open_project(root) as project:
        live = load_live(project)
        category = next(iter(project.analysis("spray").categories.values()))
        noisy = picture_of(project, 3).astype(int) + np.random.default_rng(1).integers(-30, 31, (32, 32, 3))
        found = live.explain(np.clip(noisy, 0, 255).astype(np.uint8), Question(target=0))
        placed = place(project, category, found.relevance)
        stored = normalised_sums(project.attributions.relevances(category.index))
        distance = np.linalg.norm(stored - normalised_sums(found.relevance[None]), axis=1)
        nearest = np.argsort(distance)[:NEAREST]
        assert placed.index.tolist() == category.index[nearest].tolist()
        np.testing.assert_allclose(placed.distance, distance[nearest], rtol=1e-4)
        inverse = 1 / distance[nearest]
        np.testing.assert_allclose(placed.weights, inverse / inverse.sum(), rtol=1e-4)
        assert placed.compared == len(category.index)
        assert placed.steps == ("channel-sum", "pool", "normalise", "flatten")


def test_a_sample_of_the_class_lands_on_itself(root):
    with open_project(root) as project:
        category = next(iter(project.analysis("spray").categories.values()))
        for row in (0, 7):
            relevance = project.attributions.relevance(int(category.index[row]))
            placed = place(project, category, relevance)
            assert placed.index[0] == category.index[row]
            assert placed.weights[0] > 1 - 1e-3


def test_steps_that_learn_from_all_samples_see_the_new_one_with_them(tmp_path):
    usual = pipeline("spray", neighbours=8, eigenvalues=4, picture=False)
    cut = 1 + [step.name for step in usual.steps].index("flatten")
    search = Step("knn", Knn(8), {"features": "pca.embedding"})
    chain = Pipeline("spray", (*usual.steps[:cut], Step("pca", Pca(3)), search, *usual.steps[cut + 1 :]))
    with open_project(write_live_run(tmp_path, chain)) as project:
        category = next(iter(project.analysis("spray").categories.values()))
        assert Front.of(category).steps[-1] == "pca"
        relevance = project.attributions.relevance(int(category.index[4]))
        placed = place(project, category, relevance)
        assert placed.index[0] == category.index[4]
        assert placed.distance[0] < 1e-4 * placed.distance[1]


def test_without_a_recorded_pipeline_the_usual_one_stands_in(tmp_path):
    with open_project(write_run(tmp_path / "run")) as project:
        dog = project.analysis("spray").category("dog")
        relevance = project.attributions.relevance(int(dog.index[9]))
        placed = place(project, dog, relevance)
        assert placed.index[0] == dog.index[9]
        with pytest.raises(RequestError, match="3 x 8 x 8, that of the run 3 x 16 x 16"):
            place(project, dog, relevance[:, ::2, ::2])


@pytest.mark.parametrize("pooling", ["channel", "full"])
def test_in_the_space_of_a_layer_its_relevance_is_compared(tmp_path, pooling):
    run = write_live_run(tmp_path, layer=("3",), pooling=pooling)
    analyze(run, pipeline("spray-latent", neighbours=8, eigenvalues=4, perplexity=5.0), space="3", workers=1)
    with open_project(run) as project:
        live = load_live(project)
        (category, *_) = project.analysis("spray-latent (3)").categories.values()
        assert space_of(category) == "3"
        stored = project.attributions.layer("3", category.index)
        for row in (0, 7):
            picture = picture_of(project, int(category.index[row]))
            found = live.explain(picture, Question(layer="3"))
            assert found.layer is not None
            np.testing.assert_allclose(found.layer, stored[row], atol=1e-5 * np.abs(stored).max())
            assert place(project, category, found.layer).index[0] == category.index[row]
        with pytest.raises(RequestError, match="the relevance is 3 x 32 x 32, that of the run 8"):
            place(project, category, found.relevance)


def test_likeness_is_one_for_the_same_up_to_scale():
    one = np.random.default_rng(0).normal(size=(3, 4, 4))
    assert likeness(one, 3 * one) == pytest.approx(1)
    assert likeness(one, -one) == pytest.approx(-1)
    assert np.isnan(likeness(one, 0 * one))
