"""Data travels compressed; scripts only to other machines."""

import gzip
import json
from urllib.parse import urlencode

from backlight.app.web import make_app
from backlight.core.project import open_project
from synthetic_run import write_run

ASK = {"Accept-Encoding": "gzip"}
POINTS = "/panel/embedding/points.json?" + urlencode(
    {"args": json.dumps([["pets", "spray", "00000001"], {"name": "tsne", "x": 0, "y": 1}])}
)
MEMBERS = "/members.json?project=pets&analysis=spray&category=00000001"


def test_data_is_compressed_when_it_is_large_and_asked_for(tmp_path):
    with open_project(write_run(tmp_path / "run", per_class=4000)) as project:
        client = make_app([project]).server.test_client()
        plain, packed = client.get(POINTS), client.get(POINTS, headers=ASK)
        page, small = client.get("/"), client.get("/", headers=ASK)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.data)) == plain.get_json()
    assert len(packed.data) < len(plain.data)
    assert len(small.data) < len(page.data)
    assert b"app--opened" in gzip.decompress(small.data)


def test_small_answers_stay_as_they_are(project):
    client = make_app([project]).server.test_client()
    assert "Content-Encoding" not in client.get(MEMBERS, headers=ASK).headers
    assert client.get("/members.json?project=nope", headers=ASK).status_code == 404


def test_scripts_are_compressed_for_other_machines_only(project):
    address = "/assets/toolbar.js"
    here = make_app([project], panels=[]).server.test_client()
    there = make_app([project], panels=[], token="secret").server.test_client()
    there.get("/?token=secret")
    with here.get(address, headers=ASK) as plain, there.get(address, headers=ASK) as packed:
        assert "Content-Encoding" not in plain.headers
        assert gzip.decompress(packed.data) == plain.data
