"""The picture of a pipeline: every step a box, an arrow for everything that feeds one, nothing overlaps."""

import itertools
import re
from xml.etree import ElementTree as ET

import pytest

from backlight.core.pipeline import Pipeline, Step, pipeline
from backlight.core.pipelines.pipeline_picture import picture
from backlight.plugins.processors.preprocessing import Flatten


def boxes(svg):
    found = ET.fromstring(svg).findall("{*}rect")[1:]
    return [tuple(float(box.get(key)) for key in ("x", "y", "width", "height")) for box in found]


@pytest.mark.parametrize("name", ["spray", "spray-ssim", "spray-latent"])
def test_steps_are_boxes_and_sources_arrows(name):
    chain = pipeline(name)
    svg = picture(chain)
    texts = [text.text for text in ET.fromstring(svg).findall("{*}text")]
    assert {step.name for step in chain.steps} <= set(texts)
    edges = {
        (source.partition(".")[0], step)
        for step, ports in chain.bindings().items()
        for source in ports.values()
    }
    inputs = {source for source, _ in edges} - {step.name for step in chain.steps}
    assert len(re.findall("marker-end", svg)) == len(edges)
    assert len(boxes(svg)) == len(chain.steps) + len(inputs)


def test_boxes_lie_inside_and_apart_and_readers_on_the_right():
    svg = picture(pipeline("spray"))
    width, height = (float(ET.fromstring(svg).get(key)) for key in ("width", "height"))
    placed = boxes(svg)
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in placed)
    for (x1, y1, w, h), (x2, y2, _, _) in itertools.combinations(placed, 2):
        assert abs(x1 - x2) >= w or abs(y1 - y2) >= h
    for start, end in re.findall(r'd="M([\d.]+) [^"]* ([\d.]+) [\d.]+"', svg):
        assert float(start) < float(end)


def test_names_are_text_not_markup():
    svg = picture(Pipeline("a & <b>", (Step("flatten", Flatten()),)))
    assert ET.fromstring(svg).find("{*}text").text == "a & <b>"
