"""Charts as inline SVG; classes in the page's style sheet set colours and type.

Coordinates are pixels of the SVG's own box. Every mark has a `<title>`, which browsers show as a
tooltip without any script.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape

Point = tuple[float, float]
MOST_POINTS = 300  # per line; more would be finer than a pixel


@dataclass(frozen=True)
class Series:
    """A line of a chart."""

    name: str
    points: Sequence[Point]
    css: str  # class that gives its colour
    dots: bool = False


@dataclass(frozen=True)
class Group:
    """One colour of a histogram, with a value for each of its segments."""

    name: str
    values: Sequence[float]
    css: str  # class that gives its colour


@dataclass(frozen=True)
class Frame:
    """The plotting area, and the positions of values in it."""

    width: float
    height: float
    x_range: Point
    y_range: Point
    margin: tuple[float, float, float, float] = field(default=(14, 14, 36, 52))  # as in CSS

    def x(self, value: float) -> float:
        low, high = self.x_range
        left, right = self.margin[3], self.width - self.margin[1]
        return round(left + (value - low) / (high - low) * (right - left), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        top, bottom = self.margin[0], self.height - self.margin[2]
        return round(bottom - (value - low) / (high - low) * (bottom - top), 1)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most `most` + 1 round values that span `low` ... `high`."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    step = 10 ** math.floor(math.log10((high - low) / most))
    step = next(s * step for s in (1, 2, 2.5, 5, 10, 20) if (high - low) / (s * step) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def number(value: float) -> str:
    """A tick's label: 0.5, 20, 1500, 4e-6."""
    if value and (abs(value) < 1e-2 or abs(value) >= 1e6):
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.6g}"


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """Average neighbouring points until at most `most` are left; the last one is kept."""
    if len(points) <= most:
        return list(points)
    parts = np.array_split(np.asarray(points, dtype=float), most - 1)
    return [tuple(map(float, part.mean(axis=0))) for part in parts] + [points[-1]]


def _axes(frame: Frame, x_ticks, y_ticks, x_name: str, y_label: Callable[[float], str]) -> list:
    right, bottom = frame.width - frame.margin[1], frame.height - frame.margin[2]
    parts = []
    for value in y_ticks:
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{frame.margin[3]}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text class="tick end" x="{frame.margin[3] - 7}" y="{y + 4}">{y_label(value)}</text>'
        )
    parts.append(
        f'<line class="axis" x1="{frame.margin[3]}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
    )
    for value in x_ticks:
        x = frame.x(value)
        parts.append(f'<text class="tick mid" x="{x}" y="{bottom + 16}">{number(value)}</text>')
    middle = (frame.margin[3] + right) / 2
    parts.append(
        f'<text class="name mid" x="{middle}" y="{frame.height - 4}">{escape(x_name)}</text>'
    )
    return parts


def _svg(frame: Frame, label: str, parts: Sequence[str]) -> Markup:
    body = "\n".join(parts)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img" '
        f'aria-label="{escape(label)}">\n{body}\n</svg>'
    )


def histogram(groups: Sequence[Group], name: str, width: float = 270) -> Markup:
    """Histogram of a measure with stacked groups, the first at the bottom.

    Args:
        groups: at least one with a value.
        name: of the x axis, with its unit.
        width: pixels.
    """
    values = [np.asarray(group.values, dtype=float) for group in groups]
    edges = bins(np.concatenate(values))
    inside = [np.histogram(v.clip(edges[0], edges[-1]), edges)[0] for v in values]
    totals = sum(inside)
    y_ticks = [t for t in ticks(0, max(int(totals.max()), 1), 4) if t == int(t)]
    frame = Frame(width, 190, (edges[0], edges[-1]), (0, y_ticks[-1]), (12, 8, 36, 32))
    x_ticks = [t for t in ticks(edges[0], edges[-1], 5) if edges[0] <= t <= edges[-1]]
    parts = _axes(frame, x_ticks, y_ticks, name, number)
    for i in range(len(edges) - 1):
        left, right = frame.x(edges[i]), frame.x(edges[i + 1])
        below = 0
        for counts, group in zip(inside, groups, strict=True):
            if counts[i]:
                top, bottom = frame.y(below + counts[i]), frame.y(below)
                parts.append(
                    f'<rect class="{group.css}" x="{left + 0.75:.2f}" y="{top}" '
                    f'width="{max(right - left - 1.5, 0.75):.2f}" height="{bottom - top:.1f}">'
                    f"<title>{number(edges[i])} to {number(edges[i + 1])}: {counts[i]} "
                    f"{escape(group.name)}"
                    "</title></rect>"
                )
                below += counts[i]
    return _svg(frame, f"Segments by {name}", parts)


def bins(values: np.ndarray, most: int = 24) -> np.ndarray:
    """Bin edges at round values; of many values, the outermost 0.5 % fall into the outer bins."""
    low, high = float(values.min()), float(values.max())
    if len(values) > 400:
        low, high = map(float, np.percentile(values, [0.5, 99.5]))
    if high - low < 1e-6 * max(abs(low), 1):
        low, high = low - 0.5, high + 0.5
    return np.asarray(ticks(low, high, most))


def lines(
    series: Sequence[Series],
    width: float,
    *,
    level: tuple[float, str] | None = None,
    mark: tuple[float, float, str] | None = None,
    name: str,
    label: str,
    from_zero: bool = False,
) -> Markup:
    """Line chart over updates.

    Args:
        series: at least one with a point.
        width: pixels.
        level: value and name of a horizontal line to compare with.
        mark: x, y and name of a highlighted point.
        name: of the x axis.
        label: description of the chart for screen readers.
        from_zero: whether the y axis starts at 0.
    """
    everything = [p for one in series for p in one.points]
    ys = [y for _, y in everything] + ([level[0]] if level else [])
    y_ticks = ticks(0 if from_zero else min(ys), max(ys), 5)
    x_high = max(x for x, _ in everything) or 1
    frame = Frame(width, 260 if width > 500 else 230, (0, x_high), (y_ticks[0], y_ticks[-1]))
    x_ticks = [t for t in ticks(0, x_high, 8 if width > 500 else 4) if t <= x_high]
    parts = _axes(frame, x_ticks, y_ticks, name, number)
    right = width - frame.margin[1]
    if level:
        y = frame.y(level[0])
        parts.append(f'<line class="level" x1="{frame.margin[3]}" x2="{right}" y1="{y}" y2="{y}"/>')
        # below the line if there is no room above it
        text_y = y - 6 if y - 6 > frame.margin[0] + 6 else y + 15
        parts.append(f'<text class="name end" x="{right}" y="{text_y}">{escape(level[1])}</text>')
    for one in series:
        points = thin(one.points)
        path = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in points)
        parts.append(f'<polyline class="line {one.css}" points="{path}"/>')
        radius = 3.5 if one.dots and len(points) <= 40 else 5
        shown = "dot" if one.dots and len(points) <= 40 else "hover"
        parts += [
            f'<circle class="{shown} {one.css}" cx="{frame.x(x)}" cy="{frame.y(y)}" r="{radius}">'
            f"<title>{escape(one.name)}, update {x:.0f}: {y:.4g}</title></circle>"
            for x, y in points
        ]
    if mark:
        x, y = frame.x(mark[0]), frame.y(mark[1])
        parts.append(f'<circle class="mark" cx="{x}" cy="{y}" r="7"/>')
        anchor = "end" if x > width / 2 else "start"
        shift = -2 if anchor == "end" else 2
        parts.append(
            f'<text class="name strong {anchor}" x="{x + shift}" y="{y - 13}">'
            f"{escape(mark[2])}</text>"
        )
    return _svg(frame, label, parts)


def waveform(envelope: Sequence[float]) -> Markup:
    """The outline of a clip from its peaks (0 ... 1)."""
    n = len(envelope)
    upper = [f"{i} {20 - 18 * peak:.1f}" for i, peak in enumerate(envelope)]
    lower = [f"{i} {20 + 18 * peak:.1f}" for i, peak in reversed(list(enumerate(envelope)))]
    return Markup(
        f'<svg class="wave" viewBox="0 0 {n - 1} 40" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="M{" L".join(upper + lower)} Z"/></svg>'
    )
