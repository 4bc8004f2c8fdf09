"""Picture routes: the right picture, lossless, cached; a sentence for a request that makes no sense."""

import io
from urllib.parse import urlencode

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from backlight.app.explorer.cache import ByteCache
from backlight.app.web import make_app
from backlight.core.panel import image_url, mean_url
from backlight.core.pictures.heatmap import overlay, rgb_heatmap
from backlight.core.project import ANALYSIS_FILE, ATTRIBUTION_FILE, DATA_FILE, open_project
from synthetic_run import write_run


def picture(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.data)).convert("RGB"))


@pytest.fixture
def truth(run):
    """Dataset index -> (input, relevance), read without Backlight."""
    with h5py.File(run / DATA_FILE) as data, h5py.File(run / ATTRIBUTION_FILE) as attribution:
        rows = np.argsort(attribution["index"][:])
        return data["data"][:], attribution["attribution"][:][rows]


@pytest.mark.parametrize("index", [0, 77, 179])
def test_every_mode_shows_the_sample_of_that_dataset_index(client, truth, index):
    image = np.moveaxis(truth[0][index], 0, -1)
    relevance = truth[1][index]
    assert (picture(client.get(image_url("pets", index))) == image).all()
    shown = picture(client.get(image_url("pets", index, "attribution", "bwr")))
    assert (shown == rgb_heatmap(relevance, "bwr")).all()
    shown = picture(client.get(image_url("pets", index, "overlay", "000,f00,80:fff,00f")))
    assert (shown == overlay(relevance, image, "000,f00,80:fff,00f")).all()


def test_channels_share_the_scale_of_the_strongest(client, truth):
    relevance = truth[1][7]
    strongest = np.abs(relevance).max()
    for channel in range(3):
        url = image_url("pets", 7, "attribution", "bwr", channel=channel)
        expected = rgb_heatmap(np.clip(relevance[channel] / strongest, -1, 1), "bwr", "shared", 1.0)
        assert np.abs(picture(client.get(url)).astype(int) - expected.astype(int)).max() <= 1
    assert client.get(image_url("pets", 7, "attribution", channel=3)).status_code == 404
    for wrong in ("-1", "x", "1e3", "9" * 50, "%00"):
        answer = client.get(f"/image/pets/7.png?mode=attribution&channel={wrong}")
        assert answer.status_code == 400, wrong
        assert "expected a whole number" in answer.text


def test_pictures_are_revalidated_by_etag(client):
    first = client.get(image_url("pets", 3, "overlay"))
    tag = {"If-None-Match": first.headers["ETag"]}
    again = client.get(image_url("pets", 3, "overlay"), headers=tag)
    assert (again.status_code, again.data) == (304, b"")
    assert client.get(image_url("pets", 4, "overlay"), headers=tag).status_code == 200
    assert client.get(image_url("pets", 3, "overlay", "bwr"), headers=tag).status_code == 200


@pytest.mark.parametrize(
    ("url", "status", "says"),
    [
        ("/image/pets/180.png", 404, "180 samples, none numbered 180"),
        ("/image/pest/0.png", 404, "did you mean 'pets'"),
        ("/image/pets/0.png?mode=overlaid", 400, "did you mean 'overlay'"),
        ("/image/pets/0.png?mode=overlay&cmap=nope", 400, "unknown colour map 'nope'"),
        ("/image/pets/-1.png", 404, "no picture"),
        ("/image/pets/x.png", 404, "no picture"),
        ("/image/..%2f..%2fetc%2fpasswd/0.png", 404, "unknown project"),
        ("/image/pets/99999999999999999999999.png", 404, "none numbered"),
        ("/sample/pets/999.json", 400, "none numbered 999"),
        ("/colourbar.png?cmap=%00", 400, "unknown colour map"),
    ],
)
def test_bad_requests_get_a_sentence(client, url, status, says):
    answer = client.get(url)
    assert answer.status_code == status
    assert says in answer.text
    assert "Traceback" not in answer.text


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=12), st.integers(-(10**20), 10**20), st.text(max_size=12), st.text(max_size=20))
def test_no_request_breaks_the_server(client, project, index, mode, cmap):
    answer = client.get(image_url(project or "pets", index, mode or "overlay", cmap))
    assert answer.status_code in (200, 308, 400, 404)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_nan_and_all_zero_samples_are_shown(tmp_path, channels):
    run = write_run(tmp_path / "run", channels=channels).parent
    with h5py.File(run / ATTRIBUTION_FILE, "r+") as file:
        rows = np.argsort(file["index"][:])
        file["attribution"][rows[0]] = np.nan
        file["attribution"][rows[1]] = 0
    with open_project(run) as project:
        client = make_app([project], panels=[]).server.test_client()
        for index in (0, 1):
            assert (picture(client.get(image_url("pets", index, "attribution", "bwr"))) == 255).all()
            flat = picture(client.get(image_url("pets", index, "overlay")))
            assert (flat[..., 0] == flat[..., 1]).all()
        assert picture(client.get(image_url("pets", 2))).shape == (16, 16, 3)


def test_pictures_without_channels_and_a_sample_without_attribution(run):
    with h5py.File(run / DATA_FILE, "r+") as file:
        grey = file["data"][:, 0]
        del file["data"]
        file["data"] = grey
    with h5py.File(run / ATTRIBUTION_FILE, "r+") as file:
        for key in ("attribution", "index", "prediction", "label"):
            values = file[key][:][:90]
            del file[key]
            file[key] = values
        missing = next(i for i in range(180) if i not in set(file["index"][:].tolist()))
    with open_project(run) as project:
        client = make_app([project], panels=[]).server.test_client()
        assert (picture(client.get(image_url("pets", missing)))[..., 1] == grey[missing]).all()
        answer = client.get(image_url("pets", missing, "overlay"))
        assert answer.status_code == 404
        assert f"no attribution of sample {missing}" in answer.text
        assert client.get(f"/sample/pets/{missing}.json").get_json()["predicted"] == []


def test_facts_beside_a_picture(client, run):
    with h5py.File(run / ATTRIBUTION_FILE) as file:
        logits = file["prediction"][:][np.argsort(file["index"][:])][70].astype(float)
    expected = np.exp(logits) / np.exp(logits).sum()
    found = client.get("/sample/pets/70.json").get_json()
    assert found["label"] == "dog"
    assert found["file"] == "dog/0070.png"
    assert [p for _, p in found["predicted"]] == pytest.approx(sorted(expected, reverse=True))
    assert found["correct"] == (np.argmax(logits) == 1)


def test_means_of_clusters_against_the_files(client, run):
    with h5py.File(run / ATTRIBUTION_FILE) as file:
        relevance = dict(zip(file["index"][:].tolist(), file["attribution"][:].sum(axis=1), strict=True))
    with h5py.File(run / ANALYSIS_FILE) as file:
        index, ids = file["00000001/index"][:], file["00000001/cluster/hdbscan"][:]
    scaled = {i: r / np.abs(r).max() for i, r in relevance.items()}
    means = [np.mean([scaled[i] for i in index[ids == cluster].tolist()], axis=0) for cluster in (2, 0)]
    scope = ("pets", "spray", "00000001")
    for minus, expected in ((None, means[0]), (0, means[0] - means[1])):
        found = picture(client.get(mean_url(scope, "hdbscan", 2, "gray", minus)))[..., 0]
        wanted = 255 * (0.5 + 0.5 * expected / np.abs(expected).max())
        assert np.abs(found.astype(float) - wanted).max() <= 1
    answer = client.get(mean_url(scope, "hdbscan", 2))
    assert answer.status_code == 200
    again = client.get(mean_url(scope, "hdbscan", 2), headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"cluster": "7"}, 404, "no cluster 7"),
        ({"cluster": "x"}, 400, "expected a number"),
        ({"clustering": "../x"}, 400, "clustering"),
        ({"analysis": ""}, 400, "analysis"),
        ({"category": "99"}, 400, "category"),
        ({"minus": "9" * 40}, 400, "expected a number"),
        ({"cmap": "nope"}, 400, "nope"),
    ],
)
def test_means_that_are_none_get_a_sentence(client, change, status, says):
    query = {"analysis": "spray", "category": "00000001", "clustering": "hdbscan", "cluster": "2"} | change
    answer = client.get(f"/mean/pets.png?{urlencode(query)}")
    assert answer.status_code == status
    assert says in answer.text


def test_cache_keeps_what_was_used_last_and_stays_in_its_bounds():
    cache = ByteCache(100)
    made = []

    def get(key, size=40):
        return cache.get(key, lambda: made.append(key) or bytes(size))

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert made == ["a", "b", "c", "b"]
    assert len(get("huge", 101)) == 101
    assert cache.size <= 100
    assert len(cache) == 2
