"""What a run of the playbook changes of keys and configuration is in the station's audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugins.module_utils import gridtie_audit
from plugins.module_utils.gridtie_host import audit
from plugins.modules import gridtie_files


def row(name: str, sha256: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": sha256 * 64, "environments": ["dev"], **more}


def noted(config: Path) -> list[dict[str, Any]]:
    return audit.read(audit.of_host(config))


def test_keys_that_come_go_change_and_are_renewed_are_told_apart_and_no_hash_is_told(tmp_path: Path) -> None:
    before = {"keys": [row("stays", "0"), row("renewed", "1"), row("changed", "2"), row("gone", "3")]}
    after = {"keys": [row("stays", "0"), row("renewed", "4"), row("changed", "2", admin=True), row("new", "5")]}
    gridtie_audit.keys_changed(str(tmp_path), before, after)

    assert [(line["what"], line["key"], line["by"]) for line in noted(tmp_path)] == [
        ("key renewed", "renewed", "ansible"),
        ("key changed", "changed", "ansible"),
        ("key added", "new", "ansible"),
        ("key revoked", "gone", "ansible"),
    ]
    text = (audit.of_host(tmp_path) / audit.FILE).read_text()
    assert not any(digit * 64 in text for digit in "012345")


def test_a_file_that_is_written_has_its_digests_and_an_unchanged_one_no_line(tmp_path: Path) -> None:
    file = tmp_path / "llm_routing.yaml"
    entry = {"path": str(file), "content": "version: 1\n", "mode": "0640"}
    for _ in range(2):
        gridtie_files._file(entry, False, str(tmp_path))
    first = gridtie_audit.digest(str(file))
    gridtie_files._file({**entry, "content": "version: 1 # again\n"}, False, str(tmp_path))

    written, again = noted(tmp_path)
    assert (written["before"], written["after"], written["file"]) == ("", first, str(file))
    assert (again["before"], again["after"]) == (first, gridtie_audit.digest(str(file)))


def test_a_run_that_only_looks_notes_nothing(tmp_path: Path) -> None:
    entry = {"path": str(tmp_path / "llm_routing.yaml"), "content": "version: 1\n", "mode": "0640"}
    gridtie_files._file(entry, True, str(tmp_path))

    assert noted(tmp_path) == []


def test_a_key_of_a_cloud_is_named_by_its_file_alone(tmp_path: Path) -> None:
    gridtie_audit.secret_changed(str(tmp_path), "/etc/gridtie/secrets/openai", removed=False)
    gridtie_audit.secret_changed(str(tmp_path), "/etc/gridtie/secrets/openai", removed=True)

    assert [(line["what"], line["file"]) for line in noted(tmp_path)] == [
        ("key of a cloud written", "/etc/gridtie/secrets/openai"),
        ("key of a cloud removed", "/etc/gridtie/secrets/openai"),
    ]
    assert {"before", "after"}.isdisjoint(noted(tmp_path)[0])
