"""A model beside a project: it explains as the run did, and says in a sentence what it cannot."""

import io
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from backlight.core.errors import BacklightError, FormatError, RequestError
from backlight.core.explainer import attribute
from backlight.core.project import open_project
from backlight.core.projects import live as module
from backlight.core.projects.live import NONE, RUN, Live, Question, picture_of, read_upload
from backlight.core.run.model import load_live
from live_run import CLASSES, write_live_run
from synthetic_run import write_run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_live_run(tmp_path_factory.mktemp("live"))


@pytest.fixture
def project(root):
    with open_project(root) as opened:
        yield opened


@pytest.fixture
def live(project):
    return load_live(project)


def test_it_explains_a_sample_as_the_run_did(project, live):
    assert live.same_weights is True
    assert live.recipe == ("epsilon-plus", "gradient")
    for index in (0, 31, 77):
        found = live.explain(picture_of(project, index), Question())
        stored = project.attributions.relevance(index)
        np.testing.assert_allclose(found.relevance, stored, atol=1e-5 * np.abs(stored).max())
        output = project.attributions.predictions(np.array([index]))[0]
        np.testing.assert_allclose(found.output, output, atol=1e-5)
        assert found.target == output.argmax()


def test_a_model_in_double_precision_explains_the_same(project, live):
    picture = picture_of(project, 0)
    single = live.explain(picture, Question()).relevance
    double = Live(live.model.double(), live.preprocessing, composite=live.composite)
    found = double.explain(picture, Question()).relevance
    np.testing.assert_allclose(found, single, atol=1e-5 * np.abs(single).max())


def test_another_composite_method_and_class_are_what_the_library_gives(project, live):
    picture = picture_of(project, 5)
    inputs = live.preprocessing.inputs(picture[None])
    for composite, method in ((NONE, "input-x-gradient"), ("epsilon-gamma-box", RUN), (NONE, RUN)):
        low, high = live.preprocessing.bounds
        expected = attribute(
            live.model,
            inputs,
            2,
            composite=None
            if composite == NONE
            else __import__("backlight").composite(composite, low=low, high=high),
            method="gradient" if method == RUN else method,
        )
        found = live.explain(picture, Question(composite, method, 2))
        np.testing.assert_allclose(found.relevance, expected.relevance[0].numpy(), rtol=1e-5, atol=1e-7)
        assert found.target == 2


def test_pictures_of_any_size_become_the_models(project, live):
    big = np.random.default_rng(0).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    assert live.explain(big, Question()).picture.shape == (32, 32, 3)


def test_the_model_stays_as_it_was(project, live):
    live.model.train()
    before = {name: value.clone() for name, value in live.model.state_dict().items()}
    live.explain(picture_of(project, 0), Question())
    assert live.model.training
    assert all(torch.equal(before[name], value) for name, value in live.model.state_dict().items())


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (Question(composite="epsilon-pluss"), "unknown composite"),
        (Question(composite="/etc/passwd"), "unknown composite"),
        (Question(method="knn"), "unknown method"),
        (Question(target=CLASSES), "class"),
        (Question(target=10**12), "class|target"),
    ],
)
def test_questions_that_make_no_sense(project, live, question, reason):
    with pytest.raises(BacklightError, match=reason):
        live.explain(picture_of(project, 0), question)


def test_a_model_that_fails_gives_one_sentence(project):
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("out of luck\nand more")

    broken = load_live(project, Broken())
    assert broken.same_weights is False
    with pytest.raises(BacklightError, match=r"cannot explain this picture: out of luck$"):
        broken.explain(picture_of(project, 0), Question())
    with pytest.raises(BacklightError, match="out of luck"):  # and the next one is not kept waiting
        broken.explain(picture_of(project, 0), Question())


def test_one_explanation_at_a_time(project, monkeypatch):
    running, most = 0, 0

    class Slow(nn.Module):
        def forward(self, x):
            nonlocal running, most
            running += 1
            most = max(most, running)
            time.sleep(0.05)
            running -= 1
            return x.sum((1, 2, 3))[:, None] * torch.ones(1, CLASSES)

    slow, answers = load_live(project, Slow()), []
    ask = lambda: answers.append(slow.explain(picture_of(project, 0), Question(NONE)).target)  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(answers), most) == (4, 1)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    with module._ONE, pytest.raises(BacklightError, match="try again"):
        ask()


def test_what_names_the_model(project, root, tmp_path):
    run = root / "run.toml"
    other = load_live(project, f"{root.parent / 'model.py'}:network", weights=None)
    assert other.same_weights is False
    kept = run.read_text()
    try:
        run.unlink()
        with pytest.raises(RequestError, match="does not name its model; give it"):
            load_live(project)
    finally:
        run.write_text(kept)
    with open_project(write_run(tmp_path / "other")) as foreign:
        with pytest.raises(RequestError, match="does not name its model"):
            load_live(foreign)
        found = load_live(foreign, nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)))
        assert (found.preprocessing.size, found.same_weights) == ((16, 16), None)


def png(width, height):
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "png")
    return buffer.getvalue()


def test_uploads_are_pictures_of_bearable_size(monkeypatch):
    assert read_upload(png(7, 5)).shape == (5, 7, 3)
    for data in (b"", b"<svg/>", b"GIF89a", png(7, 5)[:40], b"%PDF-1.4", b"\x89PNG\r\n\x1a\n" + b"\0" * 100):
        with pytest.raises(FormatError, match="no picture that can be read"):
            read_upload(data)
    with pytest.raises(RequestError, match="MiB"):
        read_upload(b"\0" * (module.UPLOAD_BYTES + (1 << 20)))
    for size in ((8000, 7000), (20000, 9000)):
        with pytest.raises(RequestError, match="more than 50 million pixels"):
            read_upload(png(*size))
    with pytest.raises(RequestError, match="no sample"):
        picture_of(type("P", (), {"dataset": [], "name": "empty"})(), 0)
