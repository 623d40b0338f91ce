"""Every case of `tests/cases`: what real users send, write and own, against a router process of this checkout.

Cases mostly wait, so they run several at once: the first test starts those that were selected, each test then reads its
own result. Where pytest itself runs several workers, each test runs its case when its turn comes.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from cases import all_cases
from cases.harness import HERE, Result, run
from cases.registry import Case
from cases.run import run_all

CASES = all_cases()

# All cases, on a machine of which a tenth of a processor must do.
LIMIT_S = 600.0


class Results:
    """The results of cases that run on a thread of their own."""

    def __init__(self, cases: list[Case]) -> None:
        self._futures: dict[str, Future[Result]] = {case.id: Future() for case in cases}
        self._thread = threading.Thread(target=self._run, args=(cases,), name="cases", daemon=True)
        self._thread.start()

    def _run(self, cases: list[Case]) -> None:
        try:
            asyncio.run(run_all(cases, HERE, lambda result: self._futures[result.case.id].set_result(result)))
        except BaseException as error:
            for future in self._futures.values():
                if not future.done():
                    future.set_exception(error)

    def of(self, case: Case) -> Result:
        return self._futures[case.id].result(LIMIT_S)

    def close(self) -> None:
        self._thread.join(LIMIT_S)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[Results | None]:
    """Those of the cases that were selected; None where other workers run some of them."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        yield None
        return
    found = Results([case for case in map(_case_of, request.session.items) if case is not None])
    yield found
    found.close()


def _case_of(item: pytest.Item) -> Case | None:
    """The case that a collected test is about; None for a test of another module."""
    case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
    return case if isinstance(case, Case) else None


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.id} {case.title}") for case in CASES])
def test_what_must_happen_happens(case: Case, results: Results | None) -> None:
    result = asyncio.run(run(case, HERE)) if results is None else results.of(case)

    assert result.holds, result.seen
