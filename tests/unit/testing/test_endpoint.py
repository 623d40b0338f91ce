"""The pytest plugin uses a router that the environment names, or says what is missing."""

from __future__ import annotations

import pytest

from gridtie.testing.endpoint import Endpoint, EndpointError, named

KEY = "a-key-of-a-pipeline"


@pytest.mark.parametrize("given", ["http://gridtie:8484", "http://gridtie:8484/", "http://gridtie:8484/v1"])
def test_an_address_is_taken_with_and_without_what_sdks_append(given: str) -> None:
    endpoint = named({"GRIDTIE_BASE_URL": given, "GRIDTIE_KEY": KEY})

    assert endpoint == Endpoint("http://gridtie:8484", KEY)
    assert endpoint.base_url == "http://gridtie:8484/v1"


def test_without_an_address_there_is_none() -> None:
    assert named({"GRIDTIE_KEY": KEY}) is None


@pytest.mark.parametrize("given", ["gridtie:8484", "http://gridtie:8484/v1/chat/completions", "http://"])
def test_what_is_no_routers_address_is_refused(given: str) -> None:
    with pytest.raises(EndpointError, match=r"wanted: scheme, host and port"):
        named({"GRIDTIE_BASE_URL": given, "GRIDTIE_KEY": KEY})


def test_an_address_without_a_key_is_refused() -> None:
    with pytest.raises(EndpointError, match="GRIDTIE_KEY is not"):
        named({"GRIDTIE_BASE_URL": "http://gridtie:8484"})


def test_a_failing_test_does_not_print_the_key() -> None:
    assert KEY not in repr(Endpoint("http://gridtie:8484", KEY))
