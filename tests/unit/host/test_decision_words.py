"""A decision in words, line by line, for a terminal and for a page."""

from __future__ import annotations

from gridtie.host.decision_words import lines, tried

PLAN = {
    "rule": "dev",
    "local_only": 'rule "dev" says never: cloud',
    "holds_prefix": "pool/gpu/large",
    "attempts": [{"target": "station/small", "locality": "local", "reason": 'rule "dev" uses local'}],
    "timeouts": {"connect": 2.0, "whole": None, "total": 900.0},
    "set_by": {"timeouts.total": 'rule "dev"'},
    "retries": {"count": 2, "backoff": 0.5, "max_backoff": 8.0},
    "skipped": [{"target": "openai/gpt", "reason": "never: cloud"}],
    "refusal": None,
}


def test_each_part_of_a_plan_has_its_line() -> None:
    assert list(lines(PLAN)) == [
        ("rule", "dev"),
        ("local", 'no cloud on any path: rule "dev" says never: cloud'),
        ("session", "its prefix is at pool/gpu/large"),
        ("attempt 1", 'station/small (local): rule "dev" uses local'),
        ("time-outs", 'connect 2 s, total 900 s (rule "dev")'),
        ("retries", "2 at the same target, after 0.5 s, doubled with each up to 8 s"),
        ("skipped", "openai/gpt: never: cloud"),
    ]


def test_a_refusal_is_said() -> None:
    refusal = {"status": 403, "code": "model_not_allowed", "message": "no"}

    assert list(lines({"rule": "", "refusal": refusal})) == [("rule", ""), ("refused", "403 model_not_allowed: no")]


def test_an_attempt_is_one_line_whatever_is_in_its_message() -> None:
    attempt = {"target": "here/small", "outcome": "broken", "duration": 1.234, "message": "HTTP 500\x1b[31m\nred"}

    told = tried(attempt)

    assert told.startswith("here/small broken after 1.23 s: HTTP 500")
    assert "\n" not in told
    assert "\x1b" not in told
