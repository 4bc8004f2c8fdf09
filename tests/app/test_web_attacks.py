"""A hundred and more requests that make no sense: never a 500, never a traceback, no file touched."""

import io
import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from backlight.app.explorer.requests import LARGEST
from backlight.app.web import make_app
from backlight.core.run.model import load_live

# ruff: noqa: E501
UPDATE = "/_dash-update-component"
ADDRESSES = [
    "/%00", "/..%2f..%2fetc/passwd", "/../../etc/passwd", "//etc/passwd", "/assets/../factory.py",
    "/assets/..%2ffactory.py", "/assets/%2e%2e/%2e%2e/web.py", "/assets/nothing.css",
    "/_dash-component-suites/dash/../../x.js", "/_dash-component-suites/nope/x.js",
    "/_dash-component-suites/plotly/nope.min.js", "/_dash-component-suites/dash/dcc/%00",
    "/image/pets/1.png?mode=", "/image/pets/1.png?mode=overlay&scaling=loud", "/image/pets/1.png?cmap=" + "f" * 5000,
    "/image/pets/1.png?mode=overlay&cmap=,,,,", "/image//1.png", "/image/pets/0x1.png", "/image/pets/1e3.png",
    "/image/pets/%F0%9F%92%A9.png", "/sample/pets/-1.json", "/sample/pets/1.json/..", "/sample/pets/99999.json",
    "/sample/%00/1.json", "/colourbar.png?cmap=<script>", "/colourbar.png?cmap=00f", "/_reload-hash", "/_favicon.ico",
    "/image/pets/1.png?mode=attribution&channel=-1", "/image/pets/1.png?mode=attribution&channel=99999",
    "/mean/pets.png", "/mean/pets.png?cluster=1", "/mean/../x.png?cluster=%00", "/mean/nope.png?cluster=-1", "/mean/x",
    "/?token[]=x", "/?" + "a=b&" * 500, "/tags/pets.csv?x=%ff", "/tags/nope.json", "/tags/pets.exe",
]  # fmt: skip
BODIES = [
    b"", b"{", b"null", b"[]", b"7", b'"x"', b"{}", b"\xff\xfe\x00", b"[" * 20000, b'{"output": 5}', b'{"output": "x.y"}',
    b'{"output": null, "inputs": []}', b'{"output": "..app--project.options...", "inputs": {}}',
    b'{"output": "app--download.data", "inputs": 3}', b'{"output": "app--restore.data", "inputs": [[]]}',
    b'{"output": "overview--rows.children", "inputs": [{"id": 1}]}', b'{"a": ' * 5000,
]  # fmt: skip


@pytest.fixture(params=["without a model", "with a model"])
def client(project, request):
    live = {}
    if request.param == "with a model":
        live = {project.name: load_live(project, nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)))}
    return make_app([project], live=live).server.test_client()


@pytest.fixture
def untouched(run):
    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in run.rglob("*")}

    before = state()
    yield
    assert state() == before


def fine(answer):
    assert answer.status_code < 500, answer.text
    assert b"Traceback" not in answer.data


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses(client, untouched, address):
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"):
        fine(client.open(address, method=method, data=b"x" if method != "GET" else None))
    answer = client.get(address)
    assert b"root:" not in answer.data
    assert b"def make_app" not in answer.data


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
def test_bodies(client, untouched, body, kind):
    fine(client.post(UPDATE, data=body, content_type=kind))


def outputs(client):
    return [d["output"] for d in client.get("/_dash-dependencies").get_json() if not d["clientside_function"]]


def test_every_callback_survives_values_that_do_not_fit(client, untouched):
    dependencies = [d for d in client.get("/_dash-dependencies").get_json() if not d["clientside_function"]]
    assert len(dependencies) > 8
    for value in (
        None,
        7,
        "x",
        [],
        {},
        ["pets"],
        {"scope": 1, "indices": {"dtype": "O", "bdata": "!"}},
        "\0",
        -1e300,
    ):
        for dependency in dependencies:
            body = {
                "output": dependency["output"],
                "outputs": {"id": "x", "property": "y"},
                "inputs": [{**i, "value": value} for i in dependency["inputs"]],
                "state": [{**i, "value": value} for i in dependency["state"]],
                "changedPropIds": [f"{i['id']}.{i['property']}" for i in dependency["inputs"][:1]],
            }
            fine(client.post(UPDATE, json=body))


MISFITS = [
    None,
    "x",
    "undo",
    -1,
    1e308,
    [],
    {},
    "../x\ny",
    {"name": "tsne", "x": -5, "y": 10**30},
    "tag:\ud800",
]


def test_every_callback_survives_components_that_are_not_there(client, untouched):
    """As if a page of before sent what it still shows: buttons of clusters, tags and changes long gone."""
    dependencies = [d for d in client.get("/_dash-dependencies").get_json() if not d["clientside_function"]]
    several = [d for d in dependencies if any(i["id"].startswith("{") for i in d["inputs"])]
    assert len(several) > 5
    for dependency, misfit in itertools.product(several, MISFITS):

        def sent(place, value=misfit):
            if not place["id"].startswith("{"):
                return {**place, "value": value}
            number = {"type": json.loads(place["id"])["type"], "index": value}
            return [{"id": number, "property": place["property"], "value": 1}]

        chosen = next(i for i in dependency["inputs"] if i["id"].startswith("{"))
        pressed = json.dumps(
            {"index": misfit, "type": json.loads(chosen["id"])["type"]}, separators=(",", ":")
        )
        names = [part.rsplit(".", 1) for part in dependency["output"].strip(".").split("...")]
        outputs = [{"id": name, "property": prop.split("@")[0]} for name, prop in names]
        body = {
            "output": dependency["output"],
            "outputs": outputs if dependency["output"].startswith("..") else outputs[0],
            "inputs": [sent(i) for i in dependency["inputs"]],
            "state": [sent(i) for i in dependency["state"]],
            "changedPropIds": [f"{pressed}.{chosen['property']}"],
        }
        fine(client.post(UPDATE, json=body))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_body(client, untouched, data):
    body = {
        "output": data.draw(st.sampled_from(outputs(client)) | json_values),
        **data.draw(
            st.dictionaries(st.sampled_from(["inputs", "state", "outputs", "changedPropIds"]), json_values)
        ),
    }
    fine(client.post(UPDATE, data=json.dumps(body), content_type="application/json"))


def test_uploads_are_limited(client):
    answer = client.post(
        UPDATE,
        input_stream=io.BytesIO(b""),
        headers={"Content-Length": str(LARGEST + 1), "Content-Type": "application/json"},
    )
    assert answer.status_code in (400, 413)


FORGED = [
    {"name": "x", "source": "/etc/passwd", "index": None},
    {"name": "x", "source": "file:///etc/passwd,aGk=", "index": None},
    {"name": "x", "source": "data:image/svg+xml;base64,PHN2Zy8+", "index": None},
    {"name": "x" * 10**5, "source": None, "index": 10**18},
    {"name": None, "source": None, "index": "0"},
    {"source": 7},
    [1, 2],
    "x",
]


@pytest.mark.parametrize("picture", FORGED)
def test_forged_pictures_to_explain(project, untouched, picture):
    live = load_live(project, nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)))
    forged = make_app([project], live={project.name: live}).server.test_client()
    wanted = next(d for d in forged.get("/_dash-dependencies").get_json() if "live--answer" in d["output"])
    place = {"project": "pets", "analysis": "spray", "category": "00000001", "shown": "live"}
    values = {f"store--{key}": value for key, value in place.items()} | {
        "live--picture": picture,
        "live--target": "predicted",
        "live--composite": "../../x",
        "live--method": "__import__",
        "store--colour": {},
    }
    outputs = [
        {"id": part.rsplit(".", 1)[0], "property": part.rsplit(".", 1)[1].split("@")[0]}
        for part in wanted["output"].strip(".").split("...")
    ]
    body = {
        "output": wanted["output"],
        "outputs": outputs,
        "inputs": [{**i, "value": values.get(i["id"])} for i in wanted["inputs"]],
        "state": [{**i, "value": None} for i in wanted["state"]],
        "changedPropIds": ["live--picture.data"],
    }
    answer = forged.post(UPDATE, json=body)
    fine(answer)
    assert answer.status_code == 200
    assert b"root:" not in answer.data
