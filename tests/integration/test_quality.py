"""The tasks whose answers are executed, in the real sandbox of a station: its image has what they need."""

from __future__ import annotations

import pytest

from gridtie.host import sandbox
from gridtie.quality.tasks import TASKS
from integration.station import Station


@pytest.mark.parametrize("name", ["python-group-by-first", *(name for name in TASKS if name.startswith("shell-"))])
def test_right_and_wrong_are_told_apart_in_the_sandbox(station: Station, name: str) -> None:
    task, box = TASKS[name], sandbox.find(station.config)

    assert task.check(task.right[0], box.run) == ""
    assert task.check(task.wrong[0], box.run) != ""
