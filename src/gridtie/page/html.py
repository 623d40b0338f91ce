"""HTML by functions: what is not `Markup` is escaped, wherever it comes from."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

_STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
# Nothing is loaded and nothing runs, also where something got into the page that does not belong there.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
# Elements without content.
_VOID = frozenset({"meta", "link", "rect", "line", "path", "circle", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Iterable["Content"]


def joined(*content: Content) -> Markup:
    """One piece of HTML: plain text is escaped, nested lists are flattened."""
    parts: list[str] = []
    for each in content:
        if isinstance(each, Markup):
            parts.append(each)
        elif isinstance(each, str):
            parts.append(html.escape(each))
        else:
            parts.append(joined(*each))
    return Markup("".join(parts))


def element(tag: str, *content: Content, **attributes: object) -> Markup:
    """An element. Of attributes, `class_` is `class`, and _ is -; those that are None are left out."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{told}/>")
    return Markup(f"<{tag}{told}>{joined(*content)}</{tag}>")


def section(title: str, *content: Content) -> Markup:
    """A part of a page under a heading."""
    return element("section", element("h2", title), *content)


def table(head: Sequence[str], rows: Iterable[Sequence[Content]], left: int = 1) -> Markup:
    """A table whose first `left` columns are text and whose others are numbers. It scrolls where a screen is narrow."""

    def cells(tag: str, row: Sequence[Content]) -> list[Markup]:
        return [element(tag, cell, class_=None if at < left else "number") for at, cell in enumerate(row)]

    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", *cells("th", head))),
            element("tbody", *(element("tr", *cells("td", row)) for row in rows)),
        ),
        class_="wide",
        # So that a keyboard can scroll it.
        tabindex=0,
    )


def listed(lines: Iterable[Content]) -> Markup:
    """A list."""
    return element("ul", *(element("li", line) for line in lines))


def document(title: str, *content: Content) -> str:
    """A whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}"/>'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", Markup(_STYLE)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', element('main', *content)), lang='en')}\n"
