"""Keys of clouds come in by a variable, reach their files, and are shown nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from plugins.action import gridtie_inputs as inputs
from plugins.module_utils import gridtie_cloud_keys as managed
from plugins.module_utils import gridtie_judge
from plugins.plugin_utils import gridtie_cloud_keys as cloud_keys

from standins.play import play

ROOT = Path(__file__).resolve().parents[3]
KEY, OTHER = "sk-proj-Zm9vYmFyYmF6cXV4MDEyMzQ1Njc4OQ", "sk-ant-QWxsIHlvdXIgYmFzZSBhcmUgYmVsb25n"
FILES: dict[str, str | None] = {
    "openai": "secrets/openai",
    "anthropic": "/etc/gridtie/secrets/anthropic",
    "station": None,
    "elsewhere": "/run/secrets/key",
    "relayed": "secrets/pool-gpu-server",
    "second": "secrets/../secrets/openai",
}


# -- what a person can write wrongly ----------------------------------------------------------------------------------


def test_keys_of_providers_with_a_key_file_are_right() -> None:
    assert inputs.check_keys({"openai": KEY, "anthropic": OTHER}, FILES) == []
    assert inputs.check_keys({}, FILES) == []


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"openia": KEY}, "a key for 'openia', which is no provider of the routing file"),
        ({"station": KEY}, "station, and that provider has no key_file"),
        ({"elsewhere": KEY}, "its key_file is /run/secrets/key, where no key is put from here"),
        ({"relayed": KEY}, "its key_file is secrets/pool-gpu-server, where no key is put from here"),
        ({"openai": f"OPENAI_API_KEY={KEY}"}, "it holds NAME=value"),
        ({"openai": f"Bearer {KEY}"}, "it begins with a word that stands before keys in a header"),
        ({"openai": f"{KEY}\n{OTHER}"}, "it has 2 lines"),
        ({"openai": f"$ANSIBLE_VAULT;1.1;AES256\n{KEY}"}, "it is encrypted by ansible-vault"),
        ({"openai": "<your key>"}, "a placeholder"),
        ({"openai": ""}, "it is empty"),
        ({"openai": None}, "a value of type NoneType"),
        ({"openai": {"key": KEY}}, "a value of type dict"),
        ({"openai": KEY, "second": OTHER}, "two keys for one file: openai and second have the key_file secrets/openai"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_used_is_named_without_the_key(keys: dict[str, Any], found: str) -> None:
    problems = inputs.check_keys(keys, FILES)

    assert any(found in problem["found"] for problem in problems), problems
    assert KEY not in str(problems)
    assert OTHER not in str(problems)


@pytest.mark.parametrize("value", [KEY, [KEY], 5], ids=["a text", "a list", "a number"])
def test_a_value_of_another_type_is_told_and_not_shown(value: Any) -> None:
    problems = inputs.check_types(inputs.load_specs(ROOT / "roles"), {"gridtie_secrets": value})

    assert len(problems) == 1
    assert "gridtie_secrets" in problems[0]["found"]
    assert KEY not in str(problems)


@pytest.mark.parametrize(
    ("file", "place"),
    [("secrets/a", "secrets/a"), ("/etc/gridtie/secrets/a", "secrets/a"), ("secrets/../keys.json", ""), ("a", "")],
)
def test_a_key_is_put_below_the_directory_of_secrets_alone(file: str, place: str) -> None:
    assert cloud_keys.place(file) == place


# -- what the machine lacks -------------------------------------------------------------------------------------------


@pytest.fixture
def station(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    return tmp_path


def keyless(station: Path, *given: str) -> list[str]:
    files = {"openai": "secrets/openai", "anthropic": "secrets/anthropic"}
    return [problem["found"] for problem in gridtie_judge.judge_keys(
        str(station), managed.keyless(str(station), files, given)
    )]  # fmt: skip


def test_a_provider_without_a_key_is_told_before_anything_is_changed(station: Path) -> None:
    (station / "secrets/anthropic").write_text(OTHER)

    (found,) = keyless(station)
    assert f"provider openai: {station}/secrets/openai is not there, and gridtie_secrets has none" in found
    assert keyless(station, "openai") == []


def test_a_key_that_the_inventory_lost_is_told_while_its_provider_is_still_there(station: Path) -> None:
    """As in a run by somebody who did not open the vault: nothing is to vanish silently."""
    for name in ("openai", "anthropic"):
        (station / "secrets" / name).write_text(KEY)
    (station / "managed_secrets.json").write_text('{"schema": 1, "files": ["secrets/openai"]}')

    (found,) = keyless(station)
    assert "came from gridtie_secrets, which has it no more" in found
    assert keyless(station, "openai") == []


def test_a_record_that_a_crash_cut_short_makes_nothing_ours(station: Path) -> None:
    (station / "managed_secrets.json").write_text('{"schema": 1, "fi')

    assert managed.managed(str(station)) == []


# -- what a run does, and shows ---------------------------------------------------------------------------------------

Play = Callable[..., tuple[int, str]]


@pytest.fixture
def write(tmp_path: Path) -> Play:
    """Run the module as the role does; its status and output."""

    def run(station: Path, secrets: Any, *options: str, prune: bool = False) -> tuple[int, str]:
        task = {
            "name": "Write the keys of clouds",
            "gridtie.gridtie.gridtie_secrets": {
                "config_dir": str(station),
                "group": "root",
                "secrets": "{{ gridtie_secrets }}",
                "key_files": {"openai": "secrets/openai", "anthropic": "secrets/anthropic"},
                "prune": prune,
            },
        }
        return play(tmp_path, [task], {"gridtie_secrets": secrets}, *options)

    return run


@pytest.mark.skipif(os.getuid() != 0, reason="the files are root's")
def test_a_key_is_written_replaced_and_removed_and_no_output_shows_it(station: Path, write: Play) -> None:
    file, mine = station / "secrets/openai", station / "secrets/mine"
    mine.write_text("a person's own\n")
    outputs = [write(station, {"openai": KEY})]
    assert (file.read_text(), file.stat().st_mode & 0o777) == (f"{KEY}\n", 0o640)
    first = file.stat().st_ino

    outputs.append(write(station, {"openai": KEY}))
    outputs.append(write(station, {"openai": OTHER}, "--check"))
    assert file.stat().st_ino == first
    outputs.append(write(station, {"openai": OTHER}))
    # Another file under the same name: who had it open read the whole old key.
    assert (file.read_text(), file.stat().st_ino == first) == (f"{OTHER}\n", False)
    outputs.append(write(station, {}))
    assert file.exists(), "until the routing file is written, somebody may need it"
    outputs.append(write(station, {}, prune=True))

    assert sorted(path.name for path in (station / "secrets").iterdir()) == ["mine"]
    changed = ["changed=1" in output for _, output in outputs]
    assert changed == [True, False, True, True, False, True], outputs
    for status, output in outputs:
        assert status == 0, output
        assert "secrets/openai" in output
        assert [key for key in (KEY, OTHER) if key in output] == []


@pytest.mark.parametrize("secrets", [{"openai": KEY}, KEY, [KEY]], ids=["no directory", "a text", "a list"])
def test_a_run_that_fails_shows_no_key(secrets: Any, tmp_path: Path, write: Play) -> None:
    status, output = write(tmp_path / "none", secrets)

    assert status != 0
    assert "secrets" in output
    assert KEY not in output


class VaultedText(str):
    """A value that stands in YAML under `!vault`."""


yaml.SafeDumper.add_representer(
    VaultedText, lambda dumper, text: dumper.represent_scalar("!vault", str(text), style="|")
)


def vaulted(directory: Path, text: str) -> VaultedText:
    """What `ansible-vault encrypt_string` prints, and a file with the passphrase beside it."""
    secret = VaultSecret(b"a passphrase")
    (directory / "passphrase").write_bytes(secret.bytes)
    return VaultedText(VaultLib([("default", secret)]).encrypt(text, secret).decode())


@pytest.mark.skipif(os.getuid() != 0, reason="the files are root's")
def test_a_single_value_of_a_vault_is_checked_and_written_like_any_other(station: Path, tmp_path: Path) -> None:
    routing = (ROOT / "config/llm_routing.yaml").read_text()
    cloud = "  openai: {type: openai, base_url: 'https://cloud.test/v1', key_file: secrets/openai}\n\nmodels:\n"
    (tmp_path / "routing.yaml").write_text(routing.replace("models:\n", cloud, 1))
    check = {"gridtie.gridtie.gridtie_inputs": {"routing_file": str(tmp_path / "routing.yaml")}, "register": "told"}
    show = {"ansible.builtin.debug": {"msg": "{{ told.problems }} {{ told.key_files }}"}}
    write = {
        "gridtie.gridtie.gridtie_secrets": {
            "config_dir": str(station),
            "group": "root",
            "secrets": "{{ gridtie_secrets }}",
            "key_files": "{{ told.key_files }}",
        }
    }
    opened = ("--vault-password-file", str(tmp_path / "passphrase"))

    for value, problem in ((KEY, ""), (f"Bearer {KEY}", "it begins with a word that stands before keys")):
        secrets = {"openai": vaulted(tmp_path, value)}
        tasks = [check, show] if problem else [check, show, write]
        status, output = play(tmp_path, tasks, {"gridtie_secrets": secrets}, *opened)

        assert status == 0, output
        assert "'openai': 'secrets/openai'" in output
        assert problem in output if problem else "[] {" in output
        assert KEY not in output
    assert (station / "secrets/openai").read_text() == f"{KEY}\n"


def test_a_cloud_that_an_edit_took_out_needs_no_key_on_that_host_unless_one_is_given() -> None:
    declared, kept = {"openai": "secrets/openai", "azure": "secrets/azure"}, {"groq": "secrets/groq"}

    assert inputs.needed_key_files(declared, None, {}) == declared
    assert inputs.needed_key_files(declared, kept, {}) == kept
    assert inputs.needed_key_files(declared, kept, {"azure": "x"}) == {**kept, "azure": "secrets/azure"}
