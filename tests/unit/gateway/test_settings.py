"""Configuration is swapped as one, and a mistake in it changes nothing but the error that is shown."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.config.problems import ConfigError
from gridtie.gateway.settings import Loaded, Settings
from gridtie.gateway.share import WHOLE, Share
from gridtie.host import keys
from standins import house
from standins.house import CLOUD, SMALL
from standins.router import ROOT


class Folder:
    """A configuration directory with everything in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "secrets").mkdir()
        self.secret("sk-one")
        shutil.copy(ROOT / "config" / "prices.json", path)
        self.routing()
        self.station(SMALL.removeprefix("station/"))
        self.key = keys.add(path, "station", ["dev", "ci"], admin=True)

    def routing(self, **changes: Any) -> None:
        (self.path / "llm_routing.yaml").write_text(yaml.safe_dump(house.document(**changes)))

    def secret(self, text: str) -> None:
        (self.path / "secrets" / "openai").write_text(text + "\n")

    def station(self, name: str) -> None:
        model = {"name": name, "catalogue": "smollm2:135m", "dialect": "ollama", "url": "http://e:1", "context": 8192}
        engine = {"kind": "ollama", "mode": "container"}
        facts = {"schema": 1, "engine": engine, "models": [{**model, "purposes": ["code", "chat", "smoke-test"]}]}
        (self.path / "station.json").write_text(json.dumps(facts))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def reloaded(settings: Settings) -> Loaded:
    asyncio.run(settings.reload())
    return settings.current


def test_everything_is_loaded_at_start(folder: Folder) -> None:
    current = Settings(folder.path).current

    assert {SMALL, CLOUD} <= set(current.targets.by_id)
    assert current.targets.by_id[CLOUD].headers == (("authorization", "Bearer sk-one"),)
    assert current.keys.lookup(folder.key.encode()) is not None
    assert (current.error, len(current.digest)) == ("", 64)


def test_at_start_mistakes_in_all_files_are_fatal_and_named_together(folder: Folder) -> None:
    folder.routing(version=2)
    (folder.path / "keys.json").write_text("[]")

    with pytest.raises(ConfigError) as caught:
        Settings(folder.path)

    assert "llm_routing.yaml:" in str(caught.value)
    assert "keys.json: not a key file" in str(caught.value)


def test_a_missing_secret_is_named_with_the_line_of_its_provider(folder: Folder) -> None:
    (folder.path / "secrets" / "openai").unlink()

    with pytest.raises(ConfigError, match=r"llm_routing\.yaml:\d+: providers\.openai\.key_file: the key of provider"):
        Settings(folder.path)


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), ("no certificate", "cannot be used")])
def test_a_certificate_file_that_cannot_be_used_is_named(folder: Folder, content: str | None, says: str) -> None:
    path = folder.path / "ca.pem"
    if content is not None:
        path.write_text(content)
    providers = house.document()["providers"]
    providers["openai"]["ca_file"] = str(path)
    folder.routing(providers=providers)

    with pytest.raises(ConfigError, match=r"providers\.openai\.ca_file") as caught:
        Settings(folder.path)
    assert says in str(caught.value)


def test_an_edit_is_in_force_after_a_reload(folder: Folder) -> None:
    settings = Settings(folder.path)
    before = settings.current
    folder.routing(environments=["dev", "test", "ci", "production", "lab"])
    after = reloaded(settings)

    assert "lab" in after.routing.environments
    assert after.digest != before.digest
    assert "lab" not in before.routing.environments


def test_a_bad_edit_keeps_what_was_in_force_and_says_what_is_wrong(folder: Folder) -> None:
    settings = Settings(folder.path)
    before = settings.current
    folder.routing(rules=[])
    after = reloaded(settings)

    assert after.policy is before.policy
    assert "without one every request is refused" in after.error


def test_the_error_goes_when_the_mistake_is_mended(folder: Folder) -> None:
    settings = Settings(folder.path)
    folder.routing(rules=[])
    reloaded(settings)
    folder.routing()

    assert reloaded(settings).error == ""


def test_a_key_is_revoked_although_the_routing_file_has_a_mistake(folder: Folder) -> None:
    settings = Settings(folder.path)
    folder.routing(rules=[])
    keys.revoke(folder.path, "station")

    assert reloaded(settings).keys.lookup(folder.key.encode()) is None


def test_rules_change_although_the_key_file_has_a_mistake(folder: Folder) -> None:
    settings = Settings(folder.path)
    folder.routing(environments=["dev", "test", "ci", "production", "lab"])
    (folder.path / "keys.json").write_text("{")
    after = reloaded(settings)

    assert "lab" in after.routing.environments
    assert after.keys.lookup(folder.key.encode()) is not None
    assert "keys.json" in after.error


def test_a_budget_without_its_key_is_in_force_and_told_until_the_key_is_there(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.routing(budgets=[{"name": "app", "usd": 1, "key": "billing"}])
    settings = Settings(folder.path)
    (warning,) = settings.current.warnings

    assert "llm_routing.yaml:" in warning
    assert 'there is no key "billing"' in warning
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [warning]

    folder.secret("sk-two")
    assert reloaded(settings).warnings == (warning,)
    keys.add(folder.path, "Billing", ["dev"])
    assert reloaded(settings).warnings == ()
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


def test_a_key_that_goes_while_the_rules_have_a_mistake_is_missed_by_its_budget(folder: Folder) -> None:
    keys.add(folder.path, "billing", ["dev"])
    folder.routing(budgets=[{"name": "app", "usd": 1, "key": "billing"}])
    settings = Settings(folder.path)
    folder.routing(rules=[])
    keys.revoke(folder.path, "billing")

    assert 'there is no key "billing"' in reloaded(settings).warnings[0]


def test_a_station_that_is_provisioned_later_is_found(folder: Folder) -> None:
    (folder.path / "station.json").unlink()
    settings = Settings(folder.path)
    assert SMALL not in settings.current.targets.by_id
    folder.station("gridtie/smollm2:135m")

    assert SMALL in reloaded(settings).targets.by_id


def test_prices_come_with_the_configuration(folder: Folder) -> None:
    assert Settings(folder.path).current.prices.date


def test_prices_that_cannot_be_read_are_a_mistake_like_any_other(folder: Folder) -> None:
    (folder.path / "prices.json").write_text("{}")

    with pytest.raises(ConfigError, match=r"prices\.json"):
        Settings(folder.path)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


def test_a_change_on_disk_reaches_subscribers(folder: Folder) -> None:
    async def main() -> list[Loaded]:
        settings, told = Settings(folder.path), list[Loaded]()
        settings.subscribe(told.append)
        task = asyncio.create_task(settings.watch(interval=0.01))
        await asyncio.sleep(0.02)
        folder.secret("sk-two")
        await until(lambda: bool(told))
        assert settings.current is told[-1]
        task.cancel()
        return told

    assert asyncio.run(main())[-1].targets.by_id[CLOUD].headers == (("authorization", "Bearer sk-two"),)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('"sk-one"', "the key stands in quotes"),
        ("OPENAI_API_KEY=sk-one", "it holds NAME=value"),
        ("<your-key-here>", "it holds a placeholder"),
        ("\ufeffsk-one", "byte-order mark"),
        ("# comment\nsk-one", "it has 2 lines"),
        ("x" * 20_000, "it is too large for a key"),
    ],
)
def test_a_secret_file_with_more_than_a_key_is_told_at_load(folder: Folder, content: str, says: str) -> None:
    folder.secret(content)

    with pytest.raises(ConfigError) as caught:
        Settings(folder.path)

    assert says in str(caught.value)
    assert 'the key of provider "openai" cannot be read from secrets/openai' in str(caught.value)
    assert "sk-one" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["sk-proj-geheim", "geheim", "Geheim" * 60, "gt-geheim", "geheim\ngeheim", "g\x00heim"]
)
def test_a_key_in_the_place_of_its_file_is_named_and_never_shown(folder: Folder, value: str) -> None:
    providers = house.document()["providers"]
    providers["openai"]["key_file"] = value
    folder.routing(providers=providers)

    with pytest.raises(ConfigError) as caught:
        Settings(folder.path)

    assert "providers.openai.key_file" in str(caught.value)
    assert "heim" not in str(caught.value).lower()


def test_no_message_holds_a_secret(folder: Folder) -> None:
    settings = Settings(folder.path)
    folder.secret("sk-broken secret")

    assert "sk-broken" not in reloaded(settings).error


def test_a_file_that_nobody_thought_of_is_a_mistake_like_any_other(folder: Folder) -> None:
    settings = Settings(folder.path)
    (folder.path / "station.json").write_text('{"schema": 1, "x": ' + "[" * 100_000 + "]" * 100_000 + "}")
    new = keys.add(folder.path, "new", ["dev"])
    after = reloaded(settings)

    assert "RecursionError" in after.error
    assert SMALL in after.targets.by_id, "what was in force stays"
    assert after.keys.lookup(new.encode()) is not None, "and keys are read apart from it"

    folder.station("gridtie/other")
    assert reloaded(settings).error == ""


def test_of_several_routers_each_takes_its_part_of_what_a_provider_takes_at_once(folder: Folder) -> None:
    document = house.document()
    document["providers"]["openai"]["max_in_flight"] = 9
    (folder.path / "llm_routing.yaml").write_text(yaml.safe_dump(document))
    settings = Settings(folder.path)
    whole = settings.current

    asyncio.run(settings.divide(Share(4, 0)))
    part = settings.current
    asyncio.run(settings.divide(WHOLE))

    def slots(loaded: Loaded) -> set[int | None]:
        return {target.provider_slots for target in loaded.targets.by_id.values() if target.provider == "openai"}

    assert (slots(whole), slots(part), slots(settings.current)) == ({9}, {3}, {9})
    assert part.share == Share(4, 0)
    assert part.routing.providers["openai"].max_in_flight == 9
