"""How long a failing target is left alone."""

from __future__ import annotations

import pytest

from gridtie.config.schema import Locality
from gridtie.dialects.types import Failed, Failure
from gridtie.routing.breaker import failed
from gridtie.routing.snapshot import TargetState

NOW = 100.0


def pause(kind: Failed, locality: Locality = "cloud", times: int = 1, retry_after: float | None = None) -> float:
    """Seconds of the last pause after so many failures in a row, each right after the pause before it."""
    state, now = TargetState(), NOW
    for _ in range(times):
        now = max(now, state.retry_at)
        failed(state, locality, Failure(kind=kind, message="m", retry_after=retry_after), now)
    return max(0.0, state.retry_at - now)


@pytest.mark.parametrize(("times", "seconds"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 4), (9, 60), (2000, 60)])
def test_a_cloud_is_left_alone_from_its_third_failure_on_for_ever_longer(times: int, seconds: float) -> None:
    assert pause(Failed.BROKEN, times=times) == pytest.approx(seconds)


@pytest.mark.parametrize("kind", [Failed.UNREACHABLE, Failed.TIMEOUT, Failed.BROKEN])
def test_a_local_target_is_never_left_alone_for_long(kind: Failed) -> None:
    assert pause(kind, "local", times=50) == pytest.approx(0.5)


@pytest.mark.parametrize(("asked", "seconds"), [(0.0, 0), (7.0, 7), (86400.0, 600)])
def test_retry_after_is_obeyed_within_reason(asked: float, seconds: float) -> None:
    assert pause(Failed.BUSY, retry_after=asked) == pytest.approx(seconds)


def test_a_local_engine_cannot_ask_for_a_long_pause() -> None:
    assert pause(Failed.BUSY, "local", retry_after=3600) == pytest.approx(5)


@pytest.mark.parametrize(("times", "seconds"), [(1, 1), (2, 2), (3, 4), (20, 60)])
def test_a_busy_cloud_that_names_no_time_is_asked_ever_less(times: int, seconds: float) -> None:
    assert pause(Failed.BUSY, times=times) == pytest.approx(seconds)


@pytest.mark.parametrize(("locality", "seconds"), [("cloud", 30), ("local", 5)])
@pytest.mark.parametrize("kind", [Failed.AUTH, Failed.MODEL_MISSING])
def test_a_mistake_that_only_a_person_can_mend_is_not_hammered(kind: Failed, locality: Locality, seconds: int) -> None:
    assert pause(kind, locality) == pytest.approx(seconds)


@pytest.mark.parametrize("kind", [Failed.CONTEXT, Failed.CAPABILITY, Failed.INVALID])
def test_a_request_that_does_not_fit_says_nothing_against_the_target(kind: Failed) -> None:
    state = TargetState()
    failed(state, "cloud", Failure(kind=kind, message="m"), NOW)

    assert state == TargetState()


def test_requests_that_fail_together_count_as_one_failure() -> None:
    state = TargetState(failures=2)
    for _ in range(10):
        failed(state, "cloud", Failure(kind=Failed.BROKEN, message="m"), NOW)

    assert (state.failures, state.retry_at) == (3, NOW + 1)


def test_a_long_pause_is_not_cut_short_by_a_later_failure() -> None:
    state = TargetState()
    failed(state, "cloud", Failure(kind=Failed.BUSY, message="m", retry_after=60), NOW)
    failed(state, "cloud", Failure(kind=Failed.BROKEN, message="m"), NOW + 1)

    assert state.retry_at == NOW + 60
