"""Who may talk to the explorer, and how it starts and stops."""

import http.client
import json
import socket
import urllib.error
import urllib.request

import pytest

from backlight.app.explorer.access import is_loopback
from backlight.app.explorer.server import Server, new_token
from backlight.app.web import explore, make_app
from backlight.core.errors import RequestError
from backlight.core.panel import selection
from backlight.core.project import open_project


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8050", "[::1]:99", "127.3.2.1"])
def test_loopback_hosts_are_answered(client, host):
    assert client.get("/colourbar.png", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", "", "[", "10.0.0.1"]
)
def test_other_hosts_are_refused(client, host):
    for address in ("/", "/colourbar.png", "/_dash-layout", "/image/pets/0.png"):
        assert client.get(address, headers={"Host": host}).status_code in (400, 403)


def test_other_origins_are_refused(client):
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        answer = client.post("/_dash-update-component", json={}, headers={"Origin": origin})
        assert answer.status_code == 403


def test_pages_may_load_nothing_from_elsewhere(client):
    answer = client.get("/")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text


def test_a_public_address_needs_the_token_once(project):
    client = make_app([project], panels=[], token="secret").server.test_client()
    assert client.get("/").status_code == 403
    assert client.get("/?token=wrong").status_code == 403
    assert client.get("/?token=säcret").status_code == 403
    first = client.get("/?token=secret&class=dog")
    assert first.status_code == 302
    assert first.headers["Location"] == "/?class=dog"
    assert "HttpOnly" in first.headers["Set-Cookie"]
    assert client.get("/colourbar.png").status_code == 200
    lab = {"base_url": "http://lab.example"}
    assert client.get("/colourbar.png", **lab).status_code == 403
    client.set_cookie("backlight-token", "secret", domain="lab.example")
    assert client.get("/colourbar.png", **lab).status_code == 200


def test_only_loopback_goes_without_token():
    assert new_token("127.0.0.1") is new_token("localhost") is new_token("::1") is None
    assert new_token("0.0.0.0") != new_token("0.0.0.0")
    assert not is_loopback("localhost.example")


def fetch(url):
    with urllib.request.urlopen(url) as answer:
        return answer.status, answer.read()


def test_explore_serves_in_the_background_until_closed(run):
    explorer = explore(run)
    assert explorer.url.startswith("http://127.0.0.1:")
    assert explorer.indices == []
    assert fetch(explorer.url)[0] == 200
    assert b"store--selection" in fetch(explorer.url + "_dash-layout")[1]
    explorer.close()
    explorer.close()
    with pytest.raises(urllib.error.URLError):
        fetch(explorer.url)
    explorer.project.close()


def test_two_explorers_do_not_share_a_selection(run):
    with open_project(run) as project, explore(project) as one, explore(project) as two:
        select(one, [1, 2])
        assert (one.indices, two.indices) == ([1, 2], [])


def test_a_selection_comes_with_what_is_known(run):
    with open_project(run) as project, explore(project) as explorer:
        project.annotations.tag("mark", [61])
        select(explorer, [61, 3], analysis="spray", category="00000001", clustering="hdbscan")
        found = explorer.selection
        found = found if isinstance(found, list) else found.to_dict("records")
        assert [(r["id"], r["file"], r["label"]) for r in found] == [
            (61, "dog/0061.png", "dog"),
            (3, "cat/0003.png", "cat"),
        ]
        assert [list(r["tags"]) for r in found] == [["mark"], []]
        assert found[0]["cluster"] == 2


def select(explorer, indices, **place):
    """Tell the server of a selection, as the page does."""
    host = explorer.url.removeprefix("http://").strip("/")
    callbacks = json.loads(fetch(explorer.url + "_dash-dependencies")[1])
    report = next(
        c
        for c in callbacks
        if [i["id"] for i in c["inputs"]] == ["store--selection"]
        and not c["clientside_function"]
        and c["no_output"]
    )
    place = {f"store--{name}": value for name, value in place.items()}
    value = selection((), indices, "")
    inputs = [{"id": "store--selection", "property": "data", "value": value}]
    body = {
        "output": report["output"],
        "outputs": [],
        "inputs": inputs,
        "state": [{**s, "value": place.get(s["id"])} for s in report["state"]],
        "changedPropIds": ["store--selection.data"],
    }
    connection = http.client.HTTPConnection(host)
    connection.request(
        "POST", "/_dash-update-component", json.dumps(body), {"Content-Type": "application/json"}
    )
    assert connection.getresponse().status in (200, 204)
    connection.close()


def test_a_port_in_use_is_one_sentence(client):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            RequestError, match=f"cannot listen on 127.0.0.1 port {port} .*choose another port"
        ):
            Server(client.application, "127.0.0.1", port)
    with pytest.raises(RequestError, match=r"cannot listen on no\.such\.host"):
        Server(client.application, "no.such.host.invalid", 0)


def test_a_server_can_be_closed_without_having_run(client):
    Server(client.application, "127.0.0.1", 0).close()
