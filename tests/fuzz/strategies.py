"""Inputs for hypothesis: sound ones with changes, and words in any order, and where they are cut."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fuzz.mutate import cut
from fuzz.targets import Target

# Inputs for each pure target from the fast generator, and examples from hypothesis, which is twenty times slower and
# finds the smallest input that is at fault. Longer runs: `make fuzz`.
INPUTS = int(os.environ.get("GRIDTIE_FUZZ_INPUTS", "10000"))
EXAMPLES = int(os.environ.get("GRIDTIE_FUZZ_EXAMPLES", "300"))
SOCKET_EXAMPLES = int(os.environ.get("GRIDTIE_FUZZ_SOCKET_EXAMPLES", "500"))


def bounded(examples: int) -> settings:
    """The same examples in every run, without a clock of their own: pytest has one."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def spoilt(corpus: Sequence[bytes], words: Sequence[bytes]) -> SearchStrategy[bytes]:
    """One of the corpus with a few spans replaced; or nothing but words."""
    word = st.one_of(st.sampled_from(words), st.binary(max_size=4))
    change = st.tuples(st.integers(0, 2000), st.integers(0, 40), word)
    changed = st.tuples(st.sampled_from(corpus), st.lists(change, max_size=4)).map(lambda found: _changed(*found))
    return st.one_of(changed, st.lists(word, max_size=12).map(b"".join))


def _changed(data: bytes, changes: Sequence[tuple[int, int, bytes]]) -> bytes:
    for place, length, word in changes:
        at = place % (len(data) + 1)
        data = data[:at] + word + data[at + length :]
    return data


def arriving(target: Target) -> SearchStrategy[list[bytes]]:
    """An input of a target in the pieces in which it arrives."""
    return cut_anywhere(spoilt(target.corpus, target.words))


def cut_anywhere(data: SearchStrategy[bytes]) -> SearchStrategy[list[bytes]]:
    """At every byte, or in a few places."""
    places = st.one_of(st.just(range(100_000)), st.lists(st.integers(1, 2000), max_size=6))
    return st.tuples(data, places).map(lambda found: cut(*found))
