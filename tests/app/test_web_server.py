"""Closing the explorer: what is being answered is answered, and the interpreter ends as it should."""

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from flask import Flask

from backlight.app.explorer.server import Server


def test_closing_waits_for_the_answers_under_way_and_refuses_others():
    entered, release, answered = threading.Event(), threading.Event(), []
    app = Flask("slow")

    @app.get("/")
    def slow():
        entered.set()
        release.wait(10)
        return "done"

    server = Server(app, "127.0.0.1", 0)
    server.start()

    def ask():
        with urllib.request.urlopen(server.url) as answer:
            answered.append(answer.read())

    asking = threading.Thread(target=ask)
    asking.start()
    assert entered.wait(10)
    closing = threading.Thread(target=server.close)
    closing.start()
    time.sleep(0.2)
    assert closing.is_alive()
    release.set()
    closing.join(10)
    asking.join(10)
    assert answered == [b"done"]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.url, timeout=2)


LEAVE = """
import random, sys, threading, time, urllib.request
import backlight as bl

explorer = bl.explore(sys.argv[1])

def ask(start):
    while True:
        for index in range(start, 180, 8):
            try:
                fresh = f"{random.randrange(1 << 20, 1 << 24):06x}"  # a picture that is not in the cache
                query = f"mode=attribution&cmap=00f,{fresh}"
                urllib.request.urlopen(f"{explorer.url}image/pets/{index}.png?{query}").read()
            except OSError:
                return

for start in range(8):
    threading.Thread(target=ask, args=(start,), daemon=True).start()
time.sleep(0.5)
"""


def test_a_script_may_end_without_closing(run):
    """Ended while pictures were read, it hung or crashed in the HDF5 library."""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", LEAVE, str(run)], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
