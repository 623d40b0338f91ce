"""A plot shows the numbers that it was given, to scale."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from gridtie.page.svg import Bar, Range, Step, columns, course, ranges, shares, waterfall


def rects(plot: str, fill: str) -> list[tuple[float, float, float, float]]:
    found = [each for each in ET.fromstring(plot).iter("rect") if each.get("class") == f"fill-{fill}"]
    return [tuple(float(each.get(name, "")) for name in ("x", "y", "width", "height")) for each in found]  # type: ignore[misc]


def texts(plot: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(plot).iter("text")]


def show(amount: float) -> str:
    return f"{amount:g}"


def test_a_waterfall_goes_down_by_each_cost_to_what_is_left() -> None:
    plot = waterfall("t", [Step("all", 10, "local", True), Step("c", -4, "cloud"), Step("net", 6, "good", True)], show)

    ((whole_x, _, whole, _),) = rects(plot, "local")
    ((cost_x, _, cost, _),) = rects(plot, "cloud")
    ((net_x, _, net, _),) = rects(plot, "good")
    assert (whole_x, net_x) == (0, 0)
    assert (cost / whole, net / whole) == (pytest.approx(0.4), pytest.approx(0.6))
    assert cost_x == pytest.approx(net)  # it begins where what is left ends
    assert texts(plot) == ["all", "10", "c", "-4", "net", "6"]


def test_a_waterfall_that_ends_below_zero_has_its_end_left_of_zero() -> None:
    plot = waterfall("t", [Step("all", 10, "local", True), Step("c", -15, "cloud"), Step("net", -5, "bad", True)], show)

    ((zero, _, _, _),) = rects(plot, "local")
    ((net_x, _, net, _),) = rects(plot, "bad")
    assert (net_x, net_x + net) == (0, pytest.approx(zero))


def test_shares_stay_within_their_bar() -> None:
    plot = shares("t", [("a", 0.25, "25 %"), ("b", 1.7, "170 %"), ("c", -1, "-100 %")])

    assert [width for _, _, width, _ in rects(plot, "local")] == [105, 420, 0]


def test_parts_of_a_column_stand_on_each_other() -> None:
    plot = columns(
        "t", [Bar("d1", (1.0, 3.0), 5.0), Bar("d2", (2.0, 0.0))], [("a", "cloud"), ("b", "power")], "m", show
    )

    below, above = rects(plot, "cloud")[1:], rects(plot, "power")[1:]  # without the legend's
    assert above[0][3] == pytest.approx(3 * below[0][3], abs=0.2)
    assert above[0][1] + above[0][3] == pytest.approx(below[0][1], abs=0.2)
    assert below[1][3] == pytest.approx(2 * below[0][3], abs=0.2)
    assert plot.count('class="mark"') == 2  # one of the legend


def test_an_axis_has_round_numbers_and_reaches_beyond_the_largest_value() -> None:
    plot = columns("t", [Bar("d", (7.3,))], [("a", "cloud")], "", show)

    numbers = [float(text) for text in texts(plot) if re.fullmatch(r"[\d.]+", text)]
    assert numbers == [0, 2, 4, 6, 8]


def test_a_course_below_zero_has_zero_on_its_axis() -> None:
    plot = course("t", [("d1", -3.0), ("d2", -7.0)], ("limit", 2.0), "n", show)

    assert "0" in texts(plot)
    assert "limit" in texts(plot)
    assert plot.count("<circle") == 2


@pytest.mark.parametrize("bars", [[], [Bar("d", (0.0,), 0.0)]])
def test_nothing_to_show_is_an_empty_plot(bars: list[Bar]) -> None:
    assert columns("t", bars, [("a", "cloud")], "", show).startswith("<svg")
    assert course("t", [], None, "n", show).startswith("<svg")


def test_labels_of_many_days_do_not_run_into_each_other() -> None:
    plot = columns("t", [Bar(f"2026-11-{day:02}", (1.0,)) for day in range(1, 31)], [("a", "cloud")], "", show)

    days = [text for text in texts(plot) if text.startswith("2026")]
    assert days[0] == "2026-11-01"
    assert days[-1] == "2026-11-30"
    assert len(days) <= 6


def test_a_legend_of_many_names_lies_above_the_columns() -> None:
    names = [(f"station {number}", "local") for number in range(7)]
    tree = ET.fromstring(columns("t", [Bar("d", (1.0,) * 7)], names, "", show))

    told = [float(each.get("y", "")) for each in tree.iter("text") if (each.text or "").startswith("station")]
    assert len(told) == 7
    assert max(told) < min(float(each.get("y1", "")) for each in tree.iter("line"))


def test_a_wide_column_has_its_name_below_its_middle_the_last_one_too() -> None:
    plot = columns("t", [Bar("80%", (1.0,)), Bar("90%", (1.0,))], [("a", "cloud")], "", show)

    places = {each.text: float(each.get("x", "")) for each in ET.fromstring(plot).iter("text")}
    middles = [x + width / 2 for x, _, width, _ in rects(plot, "cloud")[1:]]
    assert [places["80%"], places["90%"]] == pytest.approx(middles, abs=0.1)


def test_ranges_are_drawn_on_one_scale_from_zero_on() -> None:
    plot = ranges(
        "t",
        [Range("a", 2.0, 1.0, 3.0, 4.0, "local", "2 s"), Range("b", 1.0, None, None, 2.0, "other", "1 s")],
        show,
    )
    dots = [float(each.get("cx", "")) for each in ET.fromstring(plot).iter("circle")]
    ((low, _, width, _),) = rects(plot, "local")
    ((open_low, _, open_width, _),) = rects(plot, "other")

    assert dots[0] / dots[1] == pytest.approx(2)
    assert (low / dots[0], (low + width) / dots[0]) == (pytest.approx(0.5), pytest.approx(1.5))
    # An end that is not known reaches to the tail, and one below to zero.
    assert (open_low, open_width) == (0, pytest.approx(dots[0]))


def test_ranges_of_nothing_are_a_plot_all_the_same() -> None:
    assert ET.fromstring(ranges("t", [], show)).tag.endswith("svg")
