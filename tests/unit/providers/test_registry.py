"""Names of the routing file become targets, once, at load."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gridtie.config.problems import ConfigError
from gridtie.config.schema import Provider
from gridtie.config.station import Member
from gridtie.dialects.types import Usage
from gridtie.providers.cloud import limit_field
from gridtie.providers.registry import Targets
from gridtie.providers.wire import ANTHROPIC_VERSION
from standins import house
from standins.house import CLOUD, LARGE, SMALL


def ids(targets: Targets, alias: str, use: str) -> list[str]:
    return [target.id for target in targets.candidates(alias, use)]


def build(**changes: Any) -> Targets:
    return house.targets(house.routing(**changes))


def local(name: Any, purpose: str = "chat") -> list[str]:
    models = {**house.document()["models"], "mine": {"local": name, "purpose": purpose}}
    return ids(build(models=models), "mine", "local")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("auto", [LARGE]),
        ("gridtie/smollm2:135m", [SMALL]),
        ("smollm2:135m", [SMALL]),
        ("smollm2", [SMALL]),
        ("station/gridtie/smollm2:135m", [SMALL]),
        (["smollm2", "auto", "smollm2:135m"], [SMALL, LARGE]),
        ("codellama:7b", []),
        (["codellama:7b", "smollm2"], [SMALL]),
    ],
)
def test_a_local_name_means_a_model_of_the_station(name: Any, wanted: list[str]) -> None:
    assert local(name) == wanted


def test_auto_is_the_best_model_for_the_purpose_and_no_weaker_one_besides() -> None:
    assert local("auto", "probe") == [SMALL]
    assert local("auto", "code") == [LARGE]


def test_a_model_made_for_chats_answers_chats_also_beside_a_better_coder() -> None:
    models = {"talk": {"local": "auto", "purpose": "chat"}, "write": {"local": "auto", "purpose": "code"}}
    rules = house.routing(models={**house.document()["models"], **models})
    targets = house.targets(rules, house.station(small={"purposes": ["chat", "code"]}))

    assert ids(targets, "talk", "local") == [SMALL]
    assert ids(targets, "write", "local") == [LARGE]


def test_a_station_model_is_limited_by_what_was_provisioned() -> None:
    target = house.targets().by_id[LARGE]

    assert (target.context, target.slots, target.score) == (32768, 2, 57.9)
    assert target.capabilities == {"chat", "json", "tools"}


@pytest.mark.parametrize(
    ("dialect", "url", "base", "probe"),
    [
        ("ollama", "http://engine:11434", "http://engine:11434", "http://engine:11434/api/ps"),
        ("openai", "http://engine:8080/", "http://engine:8080/v1", "http://engine:8080/health"),
    ],
)
def test_engines_are_asked_in_their_own_dialect(dialect: str, url: str, base: str, probe: str) -> None:
    target = house.targets(facts=house.station(small={"dialect": dialect, "url": url})).by_id[SMALL]

    assert (target.dialect, target.base_url, target.probe_url) == (dialect, base, probe)


def test_vllm_is_asked_for_its_listing_which_has_the_context() -> None:
    facts = house.station(small={"dialect": "openai", "url": "http://engine:8000"})
    facts = replace(facts, engine=replace(facts.engine, kind="vllm"))

    target = house.targets(facts=facts).by_id[SMALL]

    assert (target.base_url, target.probe_url) == ("http://engine:8000/v1", "http://engine:8000/v1/models")


def test_vllm_router_is_asked_by_the_key_that_its_servers_know_and_for_which_of_them_are_well() -> None:
    facts = house.station(small={"dialect": "openai", "url": "http://engine:8000"})
    member = Member(name="gpu", url="https://gpu:8443", key_file="secrets/pool-gpu", ca_file="ca.pem", models=[])
    facts = replace(facts, engine=replace(facts.engine, kind="vllm_router"), pool=[member])

    target = house.targets(facts=facts).by_id[SMALL]

    assert (target.base_url, target.probe_url) == ("http://engine:8000/v1", "http://engine:8000/workers")
    assert target.headers == (("authorization", "Bearer sk-test"),)
    assert target.own


def test_a_cloud_target_carries_its_key_and_is_never_probed() -> None:
    target = house.targets().by_id[CLOUD]

    assert target.headers == (("authorization", "Bearer sk-test"),)
    assert (target.locality, target.probe_url, target.context) == ("cloud", "", None)


def test_a_target_shows_no_key_when_it_is_printed() -> None:
    assert "sk-test" not in repr(house.targets().by_id[CLOUD])


def test_anthropic_gets_its_own_headers() -> None:
    provider = {"type": "anthropic", "base_url": "https://api.anthropic.com/", "key_file": "k"}
    models = {**house.document()["models"], "claude": {"local": None, "cloud": {"provider": "a", "model": "haiku"}}}
    target = build(providers={**house.document()["providers"], "a": provider}, models=models).by_id["a/haiku"]

    assert dict(target.headers) == {"anthropic-version": ANTHROPIC_VERSION, "x-api-key": "sk-test"}
    assert (target.dialect, target.base_url) == ("anthropic", "https://api.anthropic.com")


def fail(error: Exception) -> Any:
    def read(name: str) -> str:
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (fail(FileNotFoundError(2, "No such file or directory")), "No such file or directory"),
        (fail(PermissionError(13, "Permission denied")), "Permission denied"),
        (lambda name: "", "it does not hold one key"),
        (lambda name: "two words", "it does not hold one key"),
        (lambda name: "line\nbreak", "it does not hold one key"),
    ],
)
def test_a_key_that_cannot_be_read_names_the_provider_and_the_file(read: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Targets.build(house.routing(), house.station(), read_secret=read)

    assert caught.value.problems[0].path == ("providers", "openai", "key_file")
    assert 'the key of provider "openai" cannot be read from secrets/openai' in str(caught.value)
    assert says in str(caught.value)


def test_a_wrong_key_is_never_quoted() -> None:
    with pytest.raises(ConfigError) as caught:
        Targets.build(house.routing(), None, read_secret=lambda name: "sk-secret with a space")

    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("alias", "bare", "says"),
    [
        ("coder", True, "run `ansible-playbook site.yml`"),
        ("odd", False, 'no model of this station is for "odd"'),
        ("gone", False, "this station does not have codellama; it has: gridtie/smollm2:135m"),
        ("remote", False, '"remote" is cloud only'),
    ],
)
def test_an_alias_without_a_local_model_says_why(alias: str, bare: bool, says: str) -> None:
    models = {**house.document()["models"], "odd": {"purpose": "smoke-test"}, "gone": {"local": "codellama"}}
    facts = house.station(small={"purposes": []})
    entry = house.targets(house.routing(models=models), facts, bare=bare).named(alias)

    assert entry is not None
    assert says.replace("odd", "smoke-test") in entry.no_local if alias == "odd" else says in entry.no_local


def test_models_lists_aliases_that_can_be_served_and_local_models_by_name() -> None:
    listed = {(row.id, row.kind, row.localities) for row in house.targets().models()}

    assert listed == {
        ("coder", "alias", ("local", "cloud")),
        ("chat", "alias", ("local", "cloud")),
        ("smoke-test", "alias", ("local",)),
        ("remote", "alias", ("cloud",)),
        ("gridtie/smollm2:135m", "model", ("local",)),
        ("gridtie/qwen2.5-coder:7b", "model", ("local",)),
    }


def test_of_a_shared_place_is_listed_what_each_target_of_it_has() -> None:
    models = house.document()["models"]
    large, small = ({"model": name, "weight": 1} for name in ("qwen2.5-coder:7b", "smollm2"))
    alone, shared = dict(models["coder"], local=large["model"]), dict(models["coder"], local=[large, small])
    contexts = {target.model: target.context for target in house.targets().by_id.values()}

    row = build(models={**models, "coder": alone}).listing("coder")
    assert row is not None and row.context == contexts["gridtie/qwen2.5-coder:7b"]
    row = build(models={**models, "coder": shared}).listing("coder")
    assert row is not None and row.context == contexts["gridtie/smollm2:135m"] < contexts["gridtie/qwen2.5-coder:7b"]


def test_what_clouds_have_is_not_what_the_local_models_of_an_alias_have() -> None:
    """Both places may be shared by weight; the first one is listed."""
    models = house.document()["models"]
    local = [{"model": name, "weight": 1} for name in ("here/one", "here/two")]
    cloud = {"provider": "anthropic", "model": "claude-haiku-4-5", "weight": 1}
    here = {"type": "openai", "base_url": "http://127.0.0.1:9/v1", "locality": "local"}
    there = {"type": "anthropic", "base_url": "https://api.anthropic.com"}
    models["coder"] = dict(models["coder"], local=local, cloud=cloud)

    row = build(models=models, providers=house.document()["providers"] | {"here": here, "anthropic": there}).listing(
        "coder"
    )

    assert row is not None and "embeddings" in row.capabilities


@pytest.mark.parametrize("written", ["smoke-test", "probe", "Probe"])
def test_an_alias_that_got_another_name_answers_to_both_and_is_listed_by_todays(written: str) -> None:
    models = house.document()["models"]
    models[written] = models.pop("smoke-test")
    targets = build(models=models)
    limited = targets.only(frozenset({"probe"}))

    for name in ("smoke-test", "probe", "Probe"):
        assert ids(targets, name, "local") == ids(limited, name, "local") == [SMALL]
        assert (row := targets.listing(name)) is not None and row.id == "smoke-test"
    assert targets.listing("nothing") is None
    assert [row.id for row in limited.models() if row.kind == "alias"] == ["smoke-test"]
    assert "smoke-test" in targets.names() and "probe" not in targets.names()
    assert "smoke-test" in {row.id for row in targets.models()}


def test_where_a_file_has_both_names_each_is_an_alias_of_its_own() -> None:
    models = house.document()["models"] | {"probe": {"local": "qwen2.5-coder:7b"}}
    targets = build(models=models)

    assert ids(targets, "probe", "local") == [LARGE]
    assert ids(targets, "smoke-test", "local") == [SMALL]
    assert {"probe", "smoke-test"} <= {row.id for row in targets.models()}


def test_models_says_who_serves_a_name_with_digest_score_and_what_it_showed() -> None:
    shown = {"date": "2026-11-29", "engine_version": "0.32.15", "checks": {"answers": "held", "tools": "failed"}}
    rows = {
        row.id: row
        for row in house.targets(facts=house.station(large={"digest": "sha256:abc", "acceptance": shown})).models()
    }

    coder = rows["coder"]
    assert (coder.served_by, coder.digest, coder.score) == (LARGE, "sha256:abc", 57.9)
    assert coder.acceptance is not None and coder.acceptance.checks["tools"] == "failed"
    assert rows["remote"].served_by.startswith("openai/") and rows["remote"].acceptance is None


def test_models_lists_nothing_that_is_drained() -> None:
    """An alias is served by what is left, and is none where nothing is."""
    cloud = {"provider": "openai", "model": "gpt-5.4-mini", "weight": 0}
    models = house.document()["models"]
    models["coder"]["local"] = [{"model": "qwen2.5-coder:7b", "weight": 0}, {"model": "smollm2", "weight": 1}]
    models["remote"]["cloud"] = cloud

    rows = {row.id: row for row in build(models=models).models()}

    assert rows["coder"].served_by == SMALL
    assert "remote" not in rows


def test_a_model_without_a_template_is_no_chat_and_one_without_words_about_it_is() -> None:
    base = house.station(small={"capabilities": [], "purposes": ["completion"]}, large={"capabilities": []})
    found = {
        target.model: "chat" in target.capabilities for target in house.targets(facts=base).by_id.values() if target.own
    }

    assert found == {"gridtie/smollm2:135m": False, "gridtie/qwen2.5-coder:7b": True}


def test_without_a_station_only_cloud_aliases_are_listed() -> None:
    assert {row.id for row in house.targets(bare=True).models()} == {"coder", "chat", "remote"}


def test_an_alias_wins_over_a_model_of_the_same_name() -> None:
    models = {**house.document()["models"], "smollm2:135m": {"local": "qwen2.5-coder"}}

    assert ids(build(models=models), "smollm2:135m", "local") == [LARGE]


def test_a_local_model_costs_nothing_and_an_unlisted_one_has_no_price() -> None:
    models = {**house.document()["models"], "x": {"local": None, "cloud": {"provider": "openai", "model": "new"}}}
    targets = build(models=models)
    usage = Usage(input=1_000_000, output=0)

    assert [targets.cost(targets.by_id[id], usage) for id in (SMALL, CLOUD, "openai/new")] == [0.0, 1.0, None]


def test_prices_of_the_file_are_keyed_as_targets_are() -> None:
    providers = house.document()["providers"]
    providers["openai"]["prices"] = {"gpt-5.4-mini": {"input": 1, "output": 2}}

    assert build(providers=providers).price_overrides[CLOUD].output == 2


@pytest.mark.parametrize(
    ("base_url", "written", "field"),
    [
        ("https://api.openai.com/v1", None, "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/v1", None, "max_completion_tokens"),
        ("https://gpu.example/v1", None, "max_tokens"),
        ("https://api.openai.com.example/v1", None, "max_tokens"),
        ("https://api.openai.com/v1", "max_tokens", "max_tokens"),
        ("https://gpu.example/v1", "max_completion_tokens", "max_completion_tokens"),
        (None, None, "max_tokens"),
    ],
)
def test_an_output_limit_goes_into_the_field_that_the_server_knows(
    base_url: str | None, written: Any, field: str
) -> None:
    assert limit_field(Provider(type="openai", base_url=base_url, output_limit_field=written)) == field


def test_a_word_in_place_of_a_key_file_is_not_shown() -> None:
    providers = house.document()["providers"]
    providers["openai"]["key_file"] = "geheim"
    with pytest.raises(ConfigError) as caught:
        read = fail(FileNotFoundError(2, "No such file or directory"))
        Targets.build(house.routing(providers=providers), house.station(), read_secret=read)

    assert "cannot be read from the file that key_file names: No such file" in str(caught.value)
    assert "geheim" not in str(caught.value)
