"""Whose trace a request is part of, and whose prompt may be told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from gridtie.dialects.facts import Facts
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.traces.tracing import Tracing
from gridtie.routing.plan import RequestInfo

INFO = RequestInfo(id="r-1", surface="openai", alias="coder", environment="dev", key="anna")
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def tracing() -> Any:
    tracing = Tracing("http://127.0.0.1:9", {})
    yield tracing
    tracing.close()


def exchange(headers: dict[bytes, bytes] | None = None, *, prompts: bool = False) -> Exchange:
    loaded = SimpleNamespace(routing=SimpleNamespace(traces=SimpleNamespace(prompts=prompts)))
    route = SimpleNamespace(path="/v1/messages")
    head = SimpleNamespace(headers=headers or {}, method=b"POST", route=route, loaded=loaded)
    return cast("Exchange", SimpleNamespace(head=head))


@pytest.mark.parametrize(
    "sent",
    [b"", b"no", b"00-%b-%b" % (b"0" * 32, b"1" * 16), b"00-%b-%b-01, 00-x" % (b"1" * 32, b"1" * 16), b"\xff\xfe"],
)
def test_what_names_no_span_begins_a_trace(tracing: Tracing, sent: bytes) -> None:
    found = tracing.begin(exchange({b"traceparent": sent}), INFO)

    assert (found.parent, found.sampled, found.route) == (None, True, "POST /v1/messages")
    assert found.trace_id != tracing.begin(exchange(), INFO).trace_id


def test_a_clients_span_is_the_parent_of_the_requests(tracing: Tracing) -> None:
    found = tracing.begin(exchange({b"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01".encode()}), INFO)

    assert found.parent is not None
    assert (f"{found.trace_id:032x}", f"{found.parent.span_id:016x}") == (TRACE_ID, PARENT_ID)
    assert found.span_id != found.parent.span_id


@pytest.mark.parametrize(
    ("prompts", "changes", "told"),
    [
        (False, {}, False),
        (True, {}, True),
        (True, {"tags": frozenset({"private"})}, False),
        # Whether somebody there tagged it private is not known here.
        (True, {"relayed": True}, False),
    ],
)
def test_prompts_are_told_where_a_person_allows_it_and_never_those_of_private_requests(
    tracing: Tracing, prompts: bool, changes: dict[str, Any], told: bool
) -> None:
    facts = Facts(fields={}, dialect="anthropic")
    found = tracing.begin(exchange(prompts=prompts), replace(INFO, **changes), facts)

    assert (found.facts is facts, found.dialect) == (told, "anthropic")


def test_nothing_has_become_of_any_request_yet(tracing: Tracing) -> None:
    assert [(labels, value) for _, labels, value in tracing.readings()] == [
        (("sent",), 0),
        (("failed",), 0),
        (("dropped",), 0),
    ]
