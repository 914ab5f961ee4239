"""The small drawing of what a fit measured."""

from xml.etree import ElementTree

import pytest

from vov_lightning.fitting.curves import MARGIN, PANEL, WIDTH, draw_curves


def test_points_lie_where_their_values_say():
    drawing = ElementTree.fromstring(draw_curves([0, 50, 100], {"a < b": [2.0, 4.0, 3.0]}, "iterations"))
    texts = [tag.text for tag in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "iterations", "0", "100", "2", "4"} == set(texts)
    (line,) = drawing.iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    left, right = MARGIN, WIDTH - MARGIN / 2
    assert points == [(left, MARGIN + PANEL), ((left + right) / 2, MARGIN), (right, MARGIN + PANEL / 2)]


@pytest.mark.parametrize("x", [[0], [0, 10]])
def test_flat_curves_are_drawn(x):
    drawing = ElementTree.fromstring(draw_curves(x, {"first": [0.0] * len(x), "second": [1.0] * len(x)}, "iterations"))
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
