"""Codes are good for one use and a while, sessions for a day, and neither without bounds."""

from __future__ import annotations

from gridtie.gateway.dashboard.sessions import CODE_SECONDS, MOST, MOST_OF_A_KEY, SESSION_SECONDS, Sessions

ANN, BEN = b"a" * 32, b"b" * 32


def test_a_code_opens_one_session_of_its_key() -> None:
    sessions = Sessions()

    token = sessions.redeem(sessions.code(ANN, 0.0), 1.0)

    assert sessions.key(token, 2.0) == ANN
    assert sessions.key("another", 2.0) is None


def test_a_code_that_comes_twice_ends_the_session_that_it_opened() -> None:
    """Somebody else saw it, and may be the one who came first."""
    sessions = Sessions()
    code = sessions.code(ANN, 0.0)
    token = sessions.redeem(code, 1.0)

    assert sessions.redeem(code, 2.0) == ""
    assert sessions.key(token, 3.0) is None


def test_a_code_opens_nothing_after_its_time() -> None:
    sessions = Sessions()
    code = sessions.code(ANN, 0.0)

    assert sessions.redeem(code, CODE_SECONDS) == ""
    assert sessions.redeem("nobody's", 1.0) == ""


def test_a_session_ends_after_its_time_and_when_somebody_signs_out() -> None:
    sessions = Sessions()
    one, two = (sessions.redeem(sessions.code(ANN, 0.0), 0.0) for _ in range(2))

    sessions.end(one)

    assert sessions.key(one, 1.0) is None
    assert sessions.key(two, SESSION_SECONDS - 1) == ANN
    assert sessions.key(two, SESSION_SECONDS) is None


def test_a_key_has_so_many_sessions_and_its_oldest_gives_way_and_nobody_elses() -> None:
    sessions = Sessions()
    bens = sessions.redeem(sessions.code(BEN, 0.0), 0.0)
    anns = [sessions.redeem(sessions.code(ANN, at), at) for at in range(MOST_OF_A_KEY + 1)]

    assert [sessions.key(token, 10.0) for token in anns] == [None, *[ANN] * MOST_OF_A_KEY]
    assert sessions.key(bens, 10.0) == BEN


def test_a_key_cannot_ask_for_codes_without_end() -> None:
    sessions = Sessions()
    codes = [sessions.code(ANN, 0.0) for _ in range(MOST_OF_A_KEY + 1)]

    assert sessions.redeem(codes[0], 1.0) == ""
    assert sessions.redeem(codes[-1], 1.0)


def test_there_are_so_many_sessions_in_all() -> None:
    sessions = Sessions()
    for at in range(MOST + 5):
        sessions.redeem(sessions.code(at.to_bytes(32, "big"), 0.0), 0.0)

    assert len(sessions) == MOST
