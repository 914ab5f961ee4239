"""Curves over one axis as a small SVG, one panel above the other, without a drawing library."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, PANEL, MARGIN = 560, 200, 60
"""Of the drawing, of a panel's height, and around the panels, in pixels."""
COLOURS = ("#c0392b", "#2455a4", "#2e8b57")


def draw_curves(x: Sequence[float], curves: Mapping[str, Sequence[float]], x_title: str) -> str:
    """SVG with a panel for each of ``curves``, whose titles are its keys.

    Args:
        x: Places of the points, at least one, ascending.
        curves: Heights of the points, as many.
        x_title: What ``x`` counts.

    Example:
        >>> draw_curves([0, 10], {"drift": [0.0, 0.5]}, "iterations").count("<polyline")
        1
    """
    height = MARGIN + len(curves) * (PANEL + MARGIN)
    panels = []
    for number, (title, y) in enumerate(curves.items()):
        top = MARGIN + number * (PANEL + MARGIN)
        panels.append(_panel(x, y, title, top, COLOURS[number % len(COLOURS)]))
    label = _text(WIDTH / 2, height - MARGIN / 4, x_title)
    style = 'font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" {style}>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *panels, label, "</svg>", ""])


def _panel(x: Sequence[float], y: Sequence[float], title: str, top: float, colour: str) -> str:
    left, right, bottom = MARGIN, WIDTH - MARGIN / 2, top + PANEL
    (x_low, x_high), (y_low, y_high) = _range(x), _range(y)

    def place(a: float, b: float) -> tuple[float, float]:
        return (
            left + (right - left) * (a - x_low) / (x_high - x_low),
            bottom - PANEL * (b - y_low) / (y_high - y_low),
        )

    points = [place(a, b) for a, b in zip(x, y, strict=True)]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    parts = [
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{PANEL}" fill="none" stroke="#999"/>',
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
        *(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>' for a, b in points),
        _text((left + right) / 2, top - 8, title),
        *(_text(place(a, y_low)[0], bottom + 16, f"{a:g}") for a in (x_low, x_high)),
        *(_text(left - 6, place(x_low, b)[1] + 4, f"{b:.3g}", "end") for b in (y_low, y_high)),
    ]
    return "\n".join(parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Least and largest of ``values``, and never the same."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1)


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
