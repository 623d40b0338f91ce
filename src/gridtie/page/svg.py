"""Plots as SVG that takes its colours from the page: readable on a phone, in the dark and on paper.

A plot is 420 units wide, so that its text is large enough where the page is narrow. Fills are the page's classes
`fill-…`; every plot has a title for those who hear it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gridtie.page.html import Content, Markup, element

_WIDTH = 420.0
_ROW = 30.0
_LABEL = 15.0
_LINE = 17.0

Show = Callable[[float], str]


class Step(NamedTuple):
    """A bar of a waterfall: what is added (below zero: taken away), or where one stands (`stands`)."""

    label: str
    amount: float
    fill: str
    stands: bool = False


class Bar(NamedTuple):
    """A column: its name and the parts that it is stacked of, in the order of the legend; a mark beside it."""

    label: str
    parts: Sequence[float]
    mark: float | None = None


def waterfall(title: str, steps: Sequence[Step], show: Show) -> Markup:
    """From the first step down to the last, a row each."""
    at, spans = 0.0, []
    for step in steps:
        begin, end = (0.0, step.amount) if step.stands else (at, at + step.amount)
        spans.append((begin, end))
        at = end
    low, high = min([0.0, *map(min, spans)]), max([0.0, *map(max, spans)])
    scale = _WIDTH / ((high - low) or 1.0)
    drawn: list[Content] = []
    for number, (step, (begin, end)) in enumerate(zip(steps, spans, strict=True)):
        y = number * (_ROW + _LABEL)
        drawn += [
            _text(0, y + 12, step.label),
            _text(_WIDTH, y + 12, show(step.amount), anchor="end"),
            _rect((min(begin, end) - low) * scale, y + 18, abs(end - begin) * scale, _ROW - 12, f"fill-{step.fill}"),
            _line((0.0 - low) * scale, y + 16, (0.0 - low) * scale, y + _ROW + 8, "axis"),
        ]
    return _plot(title, len(steps) * (_ROW + _LABEL), drawn)


def shares(title: str, rows: Sequence[tuple[str, float, str]]) -> Markup:
    """A row for each: a label, a share between 0 and 1, and its text."""
    drawn: list[Content] = []
    for number, (label, share, told) in enumerate(rows):
        y, filled = number * (_ROW + _LABEL), min(max(share, 0.0), 1.0) * _WIDTH
        drawn += [
            _text(0, y + 12, label),
            _text(_WIDTH, y + 12, told, anchor="end"),
            _rect(0, y + 18, _WIDTH, _ROW - 12, "fill-rest"),
            _rect(0, y + 18, filled, _ROW - 12, "fill-local"),
        ]
    return _plot(title, len(rows) * (_ROW + _LABEL), drawn)


def columns(title: str, bars: Sequence[Bar], legend: Sequence[tuple[str, str]], mark: str, show: Show) -> Markup:
    """Stacked columns over time. `legend`: label and fill of each part; `mark`: what the mark of a column is."""
    names = [*legend, *([(mark, "")] if mark else [])]
    # Below the legend, of which two lines always have room: plots beside each other are of one height.
    top = 44.0 + _LINE * max(0, math.ceil(len(names) / 2) - 2)
    bottom = top + 136
    most = max((max(sum(bar.parts), bar.mark or 0.0) for bar in bars), default=0.0)
    axis = _Axis(0.0, most, top, bottom, show)
    drawn: list[Content] = [*_legend(names), *axis.drawn()]
    width = (_WIDTH - axis.left) / max(len(bars), 1)
    for at, bar in enumerate(bars):
        x, below = axis.left + at * width, 0.0
        for part, (_, fill) in zip(bar.parts, legend, strict=True):
            y = axis.y(below + part)
            drawn.append(_rect(x + width * 0.12, y, width * 0.76, axis.y(below) - y, f"fill-{fill}"))
            below += part
        if bar.mark is not None:
            drawn.append(_line(x + width * 0.04, axis.y(bar.mark), x + width * 0.96, axis.y(bar.mark), "mark"))
    drawn += _dates([bar.label for bar in bars], axis.left, width, bottom)
    return _plot(title, bottom + 20, drawn)


def course(
    title: str, points: Sequence[tuple[str, float]], limit: tuple[str, float] | None, name: str, show: Show
) -> Markup:
    """A line over time, and a level (a label and its height) that it is measured against."""
    top, bottom = 44.0, 180.0
    values = [value for _, value in points] + ([limit[1]] if limit else [])
    axis = _Axis(min([0.0, *values]), max([0.0, *values]), top, bottom, show)
    width = (_WIDTH - axis.left) / max(len(points), 1)
    places = [(axis.left + (at + 0.5) * width, axis.y(value)) for at, (_, value) in enumerate(points)]
    path = " ".join(f"{'L' if at else 'M'}{x:.1f} {y:.1f}" for at, (x, y) in enumerate(places))
    drawn: list[Content] = [*_legend([(name, "local")]), *axis.drawn(), element("path", d=path, class_="line")]
    drawn += [element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=2.5, class_="fill-local") for x, y in places]
    if limit:
        y = axis.y(limit[1])
        drawn += [_line(axis.left, y, _WIDTH, y, "limit"), _text(_WIDTH, y - 5, limit[0], anchor="end", soft=True)]
    drawn += _dates([label for label, _ in points], axis.left, width, bottom)
    return _plot(title, bottom + 20, drawn)


class Range(NamedTuple):
    """A measured figure: its middle with both ends of its interval (None: open), its bad tail, and its words."""

    label: str
    middle: float
    low: float | None
    high: float | None
    tail: float
    fill: str
    told: str


def ranges(title: str, rows: Sequence[Range], show: Show) -> Markup:
    """A row each: a dot at the middle, a bar over its interval, and a tick at the tail; one scale, from zero on."""
    most = max((max(row.tail, row.high or 0.0) for row in rows), default=0.0) or 1.0
    step = _step(most / 4)
    scale = _WIDTH / (math.ceil(most / step - 1e-9) * step)
    height = len(rows) * (_ROW + _LABEL)
    drawn: list[Content] = []
    for at in range(math.ceil(most / step - 1e-9) + 1):
        x = min(at * step * scale, _WIDTH)
        last = x > _WIDTH - 40
        drawn += [
            _line(x, 0, x, height, "axis"),
            _text(
                x, height + 14, show(round(at * step, 12)), "end" if last else "middle" if at else "start", soft=True
            ),
        ]
    for number, row in enumerate(rows):
        y = number * (_ROW + _LABEL)
        low, high = row.low or 0.0, row.high if row.high is not None else row.tail
        drawn += [
            _text(0, y + 12, row.label),
            _text(_WIDTH, y + 12, row.told, anchor="end", soft=True),
            _rect(low * scale, y + 24, (high - low) * scale, 6, f"fill-{row.fill}"),
            _line(row.tail * scale, y + 19, row.tail * scale, y + 35, "mark"),
            element("circle", cx=f"{row.middle * scale:.1f}", cy=f"{y + 27:.1f}", r=5, class_=f"fill-{row.fill}"),
        ]
    return _plot(title, height + 20, drawn)


class _Axis:
    """The upright axis: from `low` to `high` in steps of 1, 2 or 5 times a power of ten."""

    left = 62.0

    def __init__(self, low: float, high: float, top: float, bottom: float, show: Show) -> None:
        self._step = _step((high - low) / 4)
        self._low, self._high = (
            math.floor(low / self._step) * self._step,
            max(math.ceil(high / self._step - 1e-9), 1 + math.floor(low / self._step)) * self._step,
        )
        self._top, self._bottom, self._show = top, bottom, show

    def y(self, value: float) -> float:
        """Where a value lies."""
        share = (value - self._low) / (self._high - self._low)
        return self._bottom - share * (self._bottom - self._top)

    def drawn(self) -> list[Content]:
        """Its lines and numbers."""
        count = round((self._high - self._low) / self._step)
        drawn: list[Content] = []
        for at in range(count + 1):
            value = self._low + at * self._step
            y = self.y(value)
            drawn += [
                _line(self.left, y, _WIDTH, y, "axis"),
                _text(self.left - 6, y + 4, self._show(round(value, 12)), "end", soft=True),
            ]
        return drawn


def _step(least: float) -> float:
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _dates(labels: Sequence[str], left: float, width: float, y: float) -> list[Content]:
    """As many labels as have room, the first and the last among them."""
    if not labels:
        return []
    room = max(1, math.ceil(70 / width))
    chosen = [at for at in range(0, len(labels), room) if len(labels) - 1 - at >= room or at == 0]
    if len(labels) > 1:
        chosen.append(len(labels) - 1)
    if width > 60:
        return [_text(left + (at + 0.5) * width, y + 16, labels[at], anchor="middle", soft=True) for at in chosen]
    last = len(labels) - 1
    return [
        _text(_WIDTH, y + 16, labels[at], anchor="end", soft=True)
        if at == last and at
        else _text(left + at * width, y + 16, labels[at], soft=True)
        for at in chosen
    ]


def _legend(names: Sequence[tuple[str, str]]) -> list[Content]:
    drawn: list[Content] = []
    for at, (name, fill) in enumerate(names):
        x, y = (at % 2) * (_WIDTH / 2), 2 + (at // 2) * _LINE
        drawn.append(_rect(x, y, 10, 10, f"fill-{fill}") if fill else _line(x, y + 5, x + 10, y + 5, "mark"))
        drawn.append(_text(x + 15, y + 10, name, soft=True))
    return drawn


def _text(x: float, y: float, content: str, anchor: str = "start", soft: bool = False) -> Markup:
    return element(
        "text",
        content,
        x=f"{x:.1f}",
        y=f"{y:.1f}",
        text_anchor=None if anchor == "start" else anchor,
        class_="soft" if soft else None,
    )


def _rect(x: float, y: float, width: float, height: float, fill: str) -> Markup:
    # What is there and too small to be seen is still there.
    least = 1.0 if height and width else 0.0
    return element(
        "rect",
        x=f"{x:.1f}",
        y=f"{y:.1f}",
        width=f"{max(width, least):.1f}",
        height=f"{max(height, least):.1f}",
        class_=fill,
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=kind)


def _plot(title: str, height: float, drawn: Sequence[Content]) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img">{element("title", title)}'
        f"{''.join(str(element('g', each)) for each in drawn)}</svg>"
    )
