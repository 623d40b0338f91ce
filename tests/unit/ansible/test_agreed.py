"""The action plugins write down what a host learned before anything is made from it, or switched to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from plugins.action import gridtie_image, gridtie_release
from plugins.plugin_utils.gridtie_agreed import Agreed

from gridtie.lock import read, record

A, B = "a" * 64, "b" * 64
DEBIAN = "docker.io/library/debian:trixie-slim"
BOB = {"inventory_hostname": "bob"}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "gridtie.lock.yaml"


class Host:
    """Stands in for the module on a host: gives these answers, and keeps what it was asked with."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers, self.asked = list(answers), list[dict[str, Any]]()

    def __call__(self, name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        self.asked.append(dict(module_args))
        return self.answers.pop(0)


def action(plugin: Any, host: Host, lock: Path, **arguments: Any) -> Any:
    task = MagicMock(args={"lock_file": str(lock), "pins": "learn", **arguments}, async_val=0, check_mode=False)
    made = plugin.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    made._execute_module = host
    return made


# -- images ------------------------------------------------------------------------------------------------------------

PULLED = {"changed": True, "learned": {"images": {DEBIAN: {"digest": f"sha256:{A}"}}}, "needed": True}
BUILT = {"changed": True, "learned": {}, "image": "gridtie/router:1", "made": [], "needed": False}


def make_image(host: Host, lock: Path) -> dict[str, Any]:
    """What follows once the files of the build are on the host."""
    made = action(gridtie_image, host, lock)
    arguments = dict(made._task.args)
    found: dict[str, Any] = made._made(arguments, Agreed(arguments, BOB), BOB)
    return found


def test_an_image_is_built_from_a_base_once_the_lock_has_its_digest(lock: Path) -> None:
    host = Host(PULLED, BUILT)

    done = make_image(host, lock)

    assert done["image"] == "gridtie/router:1"
    assert done["recorded"] == [f"{DEBIAN}@sha256:{A}"]
    assert host.asked[1]["learned"] == {DEBIAN: f"sha256:{A}"}
    assert read(lock).digests("images") == {DEBIAN: {"digest": f"sha256:{A}"}}


def test_a_base_that_differs_from_what_another_host_learned_meanwhile_builds_nothing(lock: Path) -> None:
    record(lock, "alice", {"images": {DEBIAN: {"digest": f"sha256:{B}"}}})
    host = Host(PULLED)

    with pytest.raises(AnsibleActionFail) as caught:
        make_image(host, lock)

    assert all(word in str(caught.value) for word in ("alice", A, "bob", B))
    assert len(host.asked) == 1


# -- archives ----------------------------------------------------------------------------------------------------------

ROCM = "0.32.15/ollama-linux-amd64-rocm.tar.zst"
TREE = {"changed": True, "tree": "/opt/x", "learned": {"archives": {ROCM: {"sha256": A}}}}


def test_a_release_is_held_to_the_lock_and_adds_to_it(lock: Path) -> None:
    other = "0.32.15/other.tgz"
    record(lock, "alice", {"archives": {other: {"sha256": B}}})
    host = Host(TREE)

    done = action(gridtie_release, host, lock).run(task_vars=BOB)

    assert host.asked[0]["learned"] == {other: B} and host.asked[0]["learn"] is True
    assert done["recorded"] == [f"{ROCM}@{A}"]
    assert read(lock).digests("archives") == {other: {"sha256": B}, ROCM: {"sha256": A}}


def test_a_release_that_differs_from_another_hosts_fails_before_anything_is_switched_to_it(lock: Path) -> None:
    record(lock, "alice", {"archives": {ROCM: {"sha256": B}}})

    with pytest.raises(AnsibleActionFail, match="alice"):
        action(gridtie_release, Host(TREE), lock).run(task_vars=BOB)


def test_where_pins_are_required_the_host_may_learn_nothing(lock: Path) -> None:
    host = Host({"changed": False, "tree": "/opt/x", "learned": {}})

    assert action(gridtie_release, host, lock, pins="require").run(task_vars=BOB)["recorded"] == []
    assert host.asked[0]["learn"] is False
    assert not lock.exists()


def test_what_a_station_recorded_before_there_was_a_lock_counts_where_the_lock_says_nothing(lock: Path) -> None:
    record(lock, "alice", {"archives": {ROCM: {"sha256": B}}})
    former = {"archives": {ROCM: {"sha256": A}, "0.32.15/other.tgz": {"sha256": A}}}
    host = Host({"changed": False, "tree": "/opt/x", "learned": {}})

    action(gridtie_release, host, lock, former_pins=former).run(task_vars=BOB)

    assert host.asked[0]["learned"] == {ROCM: B, "0.32.15/other.tgz": A}
