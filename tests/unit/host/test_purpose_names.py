"""Names of before go on working, and are told by their present ones."""

from __future__ import annotations

from gridtie.host.purpose_names import current_purpose, renamed


def test_a_purpose_of_before_means_the_present_one() -> None:
    assert current_purpose("probe") == "smoke-test"
    assert current_purpose("code") == "code"


def test_an_alias_of_before_is_told_where_the_router_lists_the_present_one_alone() -> None:
    assert renamed("Probe", ["coder", "smoke-test"]) == "Probe is called smoke-test since 1.1.0; both work"
    assert renamed("probe", ["probe", "smoke-test"]) == ""
    assert renamed("probe", ["coder"]) == ""
    assert renamed("coder", ["smoke-test"]) == ""
