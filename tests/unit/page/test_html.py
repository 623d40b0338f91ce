"""Whatever gets into a page is text, unless our own code made it HTML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from gridtie.page.html import Markup, document, element, joined, listed, section, table


def test_text_is_escaped_wherever_it_stands() -> None:
    evil = """<script>alert("&'")</script>"""

    made = element("p", evil, [evil, element("b", evil)], title=evil)

    assert "<script" not in made
    (paragraph,) = ET.fromstring(f"<x>{made}</x>")
    assert paragraph.get("title") == evil
    assert "".join(paragraph.itertext()) == evil * 3


def test_what_is_html_already_is_not_escaped_again() -> None:
    assert joined(Markup("<i>a</i>"), "<b>") == "<i>a</i>&lt;b&gt;"


def test_an_attribute_that_is_none_is_left_out() -> None:
    assert element("td", "1", class_=None) == "<td>1</td>"
    assert element("text", "1", text_anchor="end") == '<text text-anchor="end">1</text>'


def test_numbers_of_a_table_are_told_apart_from_its_text() -> None:
    made = ET.fromstring(table(("name", "count"), [("a", "1")]))

    assert [cell.get("class") for cell in made.iter("td")] == [None, "number"]


def test_a_page_loads_nothing_and_lets_nothing_run() -> None:
    made = document("t", section("s", listed(["a"])))

    assert "default-src 'none'" in made.replace("&#x27;", "'")
    assert "<script" not in made
    assert "@import" not in made
    assert "url(" not in made
    assert made.count("http") == 1  # http-equiv


def test_a_page_is_well_formed() -> None:
    made = document("a & b", section("<s>", table(("x",), [("1",)])))

    page = ET.fromstring(made.removeprefix("<!DOCTYPE html>\n"))
    assert [child.tag for child in page] == ["head", "body"]
    assert page.findtext("head/title") == "a & b"
