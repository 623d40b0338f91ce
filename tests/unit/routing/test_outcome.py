"""What a client is told when no target answered, and what counts as used."""

from __future__ import annotations

from typing import Any

import pytest

from gridtie.dialects.types import Failed, Failure, Usage
from gridtie.ledger.entry import Try
from gridtie.routing.outcome import Outcome, telling
from gridtie.routing.plan import Plan, PlannedAttempt, Refusal, Skip
from gridtie.routing.refusals import cannot, paused
from standins import house

LIMITED = Failure(kind=Failed.BUSY, message="HTTP 429", status=429, retry_after=7.0)
UNTOLD = cannot("here/small", "Ollama knows no request field 'logit_bias'")


def failed(kind: Failed, **fields: Any) -> Failure:
    return Failure(kind=kind, message=kind.value, **fields)


def tried(*targets: str) -> list[Try]:
    return [Try(target=target, locality="local", outcome="broken", message=f"{target} failed") for target in targets]


@pytest.mark.parametrize(
    ("setbacks", "kind"),
    [
        ([LIMITED, failed(Failed.BROKEN)], Failed.BUSY),
        ([failed(Failed.BROKEN), LIMITED], Failed.BUSY),
        ([LIMITED, failed(Failed.INVALID)], Failed.BUSY),
        ([failed(Failed.TIMEOUT), failed(Failed.INVALID)], Failed.INVALID),
        ([failed(Failed.CONTEXT), failed(Failed.UNREACHABLE)], Failed.CONTEXT),
        ([failed(Failed.AUTH), failed(Failed.TIMEOUT)], Failed.TIMEOUT),
        ([failed(Failed.AUTH), failed(Failed.CAPABILITY)], Failed.CAPABILITY),
        ([failed(Failed.BROKEN), failed(Failed.MODEL_MISSING)], Failed.BROKEN),
    ],
)
def test_the_failure_that_the_client_can_act_on_is_told(setbacks: list[Failure], kind: Failed) -> None:
    told = telling(setbacks, tried("a", "b"), {})

    assert isinstance(told, Failure)
    assert told.kind is kind
    assert "a: a failed; b: b failed" in told.message


def test_a_rate_limit_is_told_with_its_time_although_something_else_failed_later() -> None:
    told = telling([LIMITED, UNTOLD], tried("cloud", "here/small"), {})

    assert isinstance(told, Failure)
    assert (told.status, told.retry_after) == (429, 7.0)


def test_a_pause_that_was_asked_for_before_is_told_where_what_was_tried_fails() -> None:
    skipped = [
        Skip(target="cloud", reason="it wants a pause", code="limited", retry_after=6.2),
        Skip(target="other", reason="it fails", code="failing", retry_after=1.0),
    ]
    told = telling([failed(Failed.BROKEN)], tried("here/small"), {}, paused(skipped))

    assert isinstance(told, Refusal)
    assert (told.status, told.code, told.retry_after) == (429, "rate_limited", 7)
    assert "here/small failed; cloud: it wants a pause" in told.message


def test_what_no_target_can_be_told_is_our_refusal() -> None:
    told = telling([failed(Failed.AUTH), UNTOLD], tried("cloud", "here/small"), {})

    assert isinstance(told, Refusal)
    assert (told.status, told.code, told.retry_after) == (400, "capability_missing", None)


def test_what_upstream_said_is_for_the_client_and_not_for_the_record() -> None:
    told = telling([failed(Failed.BROKEN), failed(Failed.BROKEN)], tried("a", "b"), {1: "your prompt was: hello"})

    assert isinstance(told, Failure)
    assert "hello" in told.detail
    assert "hello" not in told.message


def test_where_nothing_failed_there_is_nothing_to_tell() -> None:
    assert telling([], tried("a"), {}) is None


def outcome(**fields: Any) -> Outcome:
    target = house.targets().by_id[house.CLOUD]
    planned = PlannedAttempt(target=target, reason="")
    return Outcome(house.request(), Plan(rule="r"), 0.0, 0.0, planned=planned, target=target, **fields)


def test_an_answer_is_counted_as_upstream_counts_it() -> None:
    counted = Usage(input=7, output=8)

    assert outcome(usage=counted).tokens() == counted


def test_an_answer_without_a_count_is_estimated_and_flagged() -> None:
    assert outcome(frames=5).tokens() == Usage(input=100, output=5, estimated=True)


@pytest.mark.parametrize(
    "ended", [{"failure": failed(Failed.INVALID)}, {"refusal": Refusal(status=503, code="x", message="")}]
)
def test_what_was_refused_used_nothing(ended: dict[str, Any]) -> None:
    assert outcome(usage=Usage(input=1, output=1), **ended).tokens() is None


def test_what_broke_off_after_its_first_content_is_counted() -> None:
    assert outcome(committed=True, failure=failed(Failed.BROKEN), frames=3).tokens() is not None


def test_what_a_client_did_not_wait_for_may_have_been_billed() -> None:
    assert outcome(gone=True).tokens() == Usage(input=100, output=0, estimated=True)
