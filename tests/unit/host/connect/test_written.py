"""What was there before comes back, whenever the writing was cut short."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.connect import written
from gridtie.host.connect.clients import BY_NAME
from gridtie.host.connect.wiring import Wiring
from gridtie.host.connect.written import NotWritten

WIRING = Wiring("http://127.0.0.1:8484", "gt-secret", "coder", 32768)
LLM = BY_NAME["llm"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """One of the client's two files is there, readable to others; the other is not."""
    keys = tmp_path / "home/.config/io.datasette.llm/keys.json"
    keys.parent.mkdir(parents=True)
    keys.write_text('{"openai":"sk-of-theirs"}')
    keys.chmod(0o644)
    return tmp_path / "home"


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a directory, with modes and contents."""
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), b"" if path.is_dir() else path.read_bytes())
        for path in root.rglob("*")
    }


def record(home: Path) -> Path:
    return home / ".local/state/gridtie/connect/llm.json"


def write(home: Path) -> None:
    files = LLM.files(home, {})
    written.write(record(home), written.plan(files, WIRING), WIRING)


def restore(home: Path) -> list[str]:
    edited = written.restore(record(home), [form for _, form in LLM.files(home, {})])
    written.forget(record(home))
    return edited


def without_state(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if not name.startswith(".local")}


def test_modes_are_kept_and_a_new_file_is_its_owners_alone(home: Path) -> None:
    write(home)

    directory = home / ".config/io.datasette.llm"
    assert stat.S_IMODE((directory / "keys.json").stat().st_mode) == 0o644
    assert stat.S_IMODE((directory / "extra-openai-models.yaml").stat().st_mode) == 0o600
    assert stat.S_IMODE(record(home).stat().st_mode) == 0o600


def test_restored_it_is_byte_for_byte_as_before(home: Path) -> None:
    before = tree(home)

    write(home)
    assert "gt-secret" in (home / ".config/io.datasette.llm/keys.json").read_text()
    assert restore(home) == []

    assert without_state(tree(home)) == before
    assert written.wired(record(home)) is None


def test_directories_that_were_made_for_it_are_gone(tmp_path: Path) -> None:
    write(tmp_path)
    restore(tmp_path)

    assert without_state(tree(tmp_path)) == {}


def killed_at(moment: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The program ends at the `moment`-th file that it writes, before or after the rename."""
    numbers = count()
    real = written.put

    def put(path: Path, text: str, mode: int | None = None) -> None:
        number = next(numbers)
        if number == moment:
            raise KeyboardInterrupt
        real(path, text, mode)

    monkeypatch.setattr(written, "put", put)
    yield moment
    monkeypatch.setattr(written, "put", real)


@pytest.mark.parametrize("moment", range(5))
def test_killed_at_any_moment_it_is_as_before_after_a_restore(
    home: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    before = tree(home)
    for _ in killed_at(moment, monkeypatch):
        try:
            write(home)
        except KeyboardInterrupt:
            assert moment < 4
        else:
            assert moment == 4, "a write more than was thought of: add it"

    restore(home)

    assert without_state(tree(home)) == before


@pytest.mark.parametrize("moment", range(3))
def test_a_restore_that_was_killed_is_finished_by_the_next(
    home: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    before = tree(home)
    write(home)
    for _ in killed_at(moment, monkeypatch):
        try:
            restore(home)
        except KeyboardInterrupt:
            assert moment < 2
        else:
            assert moment == 2

    restore(home)

    assert without_state(tree(home)) == before


def test_a_file_that_was_changed_since_loses_ours_alone(home: Path) -> None:
    write(home)
    models = home / ".config/io.datasette.llm/extra-openai-models.yaml"
    models.write_text(models.read_text() + "- model_id: mine\n")
    assert written.changed_since(record(home)) == [str(models)]

    assert restore(home) == [str(models)]

    assert models.read_text() == "- model_id: mine\n"


CLINE = BY_NAME["cline"]


@pytest.mark.parametrize(
    "before", [None, '{"version":1,"lastUsedProvider":"mine","providers":{"mine":{"settings":{}}}}']
)
def test_what_its_program_only_wrote_anew_is_byte_for_byte_as_before(tmp_path: Path, before: str | None) -> None:
    """Cline orders its file, adds empty objects and takes the mode away from others each time that it is asked."""
    files = CLINE.files(tmp_path, {})
    path, _ = files[0]
    if before is not None:
        path.parent.mkdir(parents=True)
        path.write_text(before)
        path.chmod(0o640)
    note = tmp_path / "note.json"
    written.write(note, written.plan(files, WIRING), WIRING)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"modes": {}, **dict(reversed(content.items()))}))
    path.chmod(0o600)

    assert written.restore(note, [form for _, form in files]) == []
    assert path.exists() is (before is not None)
    if before is not None:
        assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (before, 0o640)


@pytest.mark.parametrize(("before", "after"), [(1, True), ([0], [False])], ids=str)
def test_a_switch_that_a_person_sets_in_another_way_is_a_change(tmp_path: Path, before: object, after: object) -> None:
    """Python takes 1 and true for the same; the program that reads the file does not."""
    files = CLINE.files(tmp_path, {})
    path, _ = files[0]
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": 1, "telemetry": before}))
    note = tmp_path / "note.json"
    written.write(note, written.plan(files, WIRING), WIRING)
    path.write_text(json.dumps({**json.loads(path.read_text()), "telemetry": after}))

    assert written.restore(note, [form for _, form in files]) == [str(path)]
    assert json.dumps(json.loads(path.read_text())["telemetry"]) == json.dumps(after)


def test_a_link_stays_one_and_what_it_leads_to_is_changed(home: Path, tmp_path: Path) -> None:
    keys = home / ".config/io.datasette.llm/keys.json"
    real = tmp_path / "dotfiles.json"
    keys.rename(real)
    keys.symlink_to(real)

    write(home)

    assert keys.is_symlink()
    assert "gt-secret" in real.read_text()
    restore(home)
    assert keys.is_symlink()
    assert real.read_text() == '{"openai":"sk-of-theirs"}'


def test_a_file_that_cannot_be_edited_leaves_every_file_as_it_is(home: Path) -> None:
    keys = home / ".config/io.datasette.llm/keys.json"
    keys.write_text("// mine\n{}")
    before = tree(home)

    with pytest.raises(NotWritten, match=r"keys\.json"):
        write(home)

    assert tree(home) == before


def test_a_file_of_another_encoding_is_refused(home: Path) -> None:
    (home / ".config/io.datasette.llm/keys.json").write_bytes(b'{"a": "\xff"}')

    with pytest.raises(NotWritten, match="UTF-8"):
        write(home)


@pytest.mark.parametrize("name", ["keys.json", "extra-openai-models.yaml"])
def test_what_was_deleted_after_the_writing_comes_back(home: Path, name: str) -> None:
    before = tree(home)
    write(home)
    (home / ".config/io.datasette.llm" / name).unlink()

    restore(home)

    assert without_state(tree(home)) == before


def test_without_what_was_kept_beside_it_nothing_but_ours_is_lost(home: Path) -> None:
    write(home)
    keys = home / ".config/io.datasette.llm/keys.json"
    keys.with_name("keys.json.before-gridtie").unlink()

    assert restore(home) == [str(keys)]

    assert json.loads(keys.read_text()) == {"openai": "sk-of-theirs"}


def test_what_was_kept_by_a_writing_that_is_noted_elsewhere_is_not_overwritten(home: Path) -> None:
    write(home)
    record(home).rename(home / "elsewhere.json")
    files = LLM.files(home, {})

    with pytest.raises(NotWritten, match="XDG_STATE_HOME"):
        written.check(written.plan(files, WIRING))

    assert [path.name for path in written.left_behind(files)] == ["keys.json.before-gridtie"]


def test_a_killed_writing_leaves_no_file_with_a_key(home: Path) -> None:
    before = tree(home)
    write(home)
    scratch = home / ".config/io.datasette.llm/.keys.json.gridtie-abcd1234"
    scratch.write_text("gt-secret")
    (record(home).parent / ".llm.json.gridtie-abcd1234").write_text("gt-secret")

    restore(home)

    assert without_state(tree(home)) == before
    assert list(record(home).parent.iterdir()) == []


def test_a_link_to_nothing_is_one_afterwards(home: Path) -> None:
    models = home / ".config/io.datasette.llm/extra-openai-models.yaml"
    models.symlink_to(home / "dotfiles.yaml")

    write(home)
    restore(home)

    assert models.is_symlink()
    assert not (home / "dotfiles.yaml").exists()


def test_a_read_only_file_is_refused(home: Path) -> None:
    (home / ".config/io.datasette.llm/keys.json").chmod(0o444)

    with pytest.raises(NotWritten, match="read-only"):
        written.check(written.plan(LLM.files(home, {}), WIRING))


def test_a_file_of_another_user_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)

    with pytest.raises(NotWritten, match="another user"):
        written.check(written.plan(LLM.files(home, {}), WIRING))


def test_a_place_where_no_directory_can_be_made_is_refused(home: Path) -> None:
    (home / "file").write_text("")

    with pytest.raises(NotWritten, match="nothing can be written"):
        written.check([written.Change(home / "file" / "settings.json", None, "{}")])


def test_a_record_of_another_version_is_told(home: Path) -> None:
    write(home)
    record(home).write_text(json.dumps({"schema": 1, "wiring": {"new": 1}}))

    with pytest.raises(NotWritten, match="another gridtie"):
        restore(home)
