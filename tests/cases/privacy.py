"""What must stay here, stays: names in any spelling, instructions that are misspelt. (A1, A2)"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from cases.harness import Ended, Fixture, Router, brief
from cases.registry import case, expect
from cases.routing_files import config, station_config
from cases.upstreams import openai
from standins.router import KEY, chat, request
from standins.scripted import Upstream, error

ENVIRONMENTS = ["dev", "test", "ci", "production"]


def keys_json(environments: list[str], *, name: str = "station") -> str:
    """keys.json with the one key that the cases use."""
    key = {"name": name, "sha256": sha256(KEY.encode()).hexdigest(), "environments": environments, "admin": True}
    return json.dumps({"schema": 1, "keys": [key]})


async def two(it: Fixture) -> tuple[Upstream, Upstream]:
    """A local upstream and a cloud, both well."""
    return await it.upstream(openai("from here")), await it.upstream(openai("from the cloud"))


async def stays(router: Router, cloud: Upstream, headers: Mapping[str, str], model: str = "coder") -> str:
    """Ask, and expect the local answer and nothing at the cloud."""
    answered = await router.ask({**chat(), "model": model}, headers=headers)
    expect(not cloud.turns, f"answered by the cloud: {brief(answered)}")
    expect(answered.status == 200, brief(answered))
    expect(answered.headers.get("x-gridtie-locality") == "local", f"locality {answered.headers}")
    return "answered locally, nothing at the cloud"


def never(**when: list[str]) -> dict[str, Any]:
    """A rule that keeps from the cloud what matches `when`."""
    return {"name": "never", "when": when, "use": ["local"], "never": "cloud"}


def kept_by_rule(number: int, title: str, when: dict[str, list[str]], headers: dict[str, str], **options: Any) -> None:
    """Register one spelling of a rule against one spelling of a request."""

    @case(f"A1.{number}", title)
    async def body(it: Fixture) -> str:
        here, cloud = await two(it)
        environments = options.get("environments", ENVIRONMENTS)
        routing = config(here, cloud, use=["cloud", "local"], rules=[never(**when)], environments=environments)
        router = await it.router(routing, files={"keys.json": keys_json(options.get("key", ENVIRONMENTS))})
        return await stays(router, cloud, headers)


kept_by_rule(1, "rule tags: [HIPAA], header HIPAA", {"tags": ["HIPAA"]}, {"x-gridtie-tags": "HIPAA"})
kept_by_rule(2, "rule tags: [HIPAA], header hipaa", {"tags": ["HIPAA"]}, {"x-gridtie-tags": "hipaa"})
kept_by_rule(
    3, "rule tags: [ Hipaa ] with blanks, header", {"tags": [" Hipaa "]}, {"X-Gridtie-Tags": " other , HIPAA "}
)
kept_by_rule(
    4,
    "rule environment: [CI] as declared, header ci",
    {"environment": ["CI"]},
    {"x-gridtie-environment": "ci"},
    environments=["dev", "test", "CI", "production"],
)
kept_by_rule(5, "rule environment: [ci], header CI", {"environment": ["ci"]}, {"x-gridtie-environment": "CI"})
kept_by_rule(6, "rule environment: [ci], the key's is CI", {"environment": ["ci"]}, {}, key=["CI"])
kept_by_rule(7, "rule agent: [Reviewer], header reviewer", {"agent": ["Reviewer"]}, {"x-gridtie-agent": "reviewer"})
kept_by_rule(8, "rule agent: [reviewer], header Reviewer", {"agent": ["reviewer"]}, {"x-gridtie-agent": "Reviewer"})


@case("A1.9", "rule alias: [coder], asked for CODER")
async def alias_in_capitals(it: Fixture) -> str:
    here, cloud = await two(it)
    routing = config(here, cloud, use=["cloud", "local"], rules=[never(alias=["coder"])])
    return await stays(await it.router(routing), cloud, {}, model="CODER")


@case("A1.10", "alias Coder in the file, asked for coder")
async def alias_declared_in_capitals(it: Fixture) -> str:
    here, cloud = await two(it)
    routing = config(here, cloud, use=["cloud", "local"], rules=[never(alias=["Coder"])], defaults={"alias": "Coder"})
    routing["models"] = {"Coder": routing["models"]["coder"]}
    return await stays(await it.router(routing), cloud, {}, model="coder")


@case("A1.11", "explain says what happens, tag in capitals")
async def explained_as_lived(it: Fixture) -> str:
    here, cloud = await two(it)
    router = await it.router(config(here, cloud, use=["cloud", "local"], rules=[never(tags=["HIPAA"])]))
    told = (await router.ask({"model": "coder", "tags": ["HIPAA"]}, path="/gridtie/route")).json
    answered = await router.ask(chat(), headers={"x-gridtie-tags": "HIPAA"})
    planned, lived = told["attempts"][0]["target"], answered.headers.get("x-gridtie-target")
    expect(planned == lived, f"explained {planned}, answered by {lived}")
    expect(lived == "here/small", f"both say {lived}")
    return f"explained and answered by {lived}"


@case("A1.12", "explain takes the spellings that headers take")
async def explain_takes_spellings(it: Fixture) -> str:
    here, cloud = await two(it)
    router = await it.router(config(here, cloud, use=["cloud", "local"], rules=[never(environment=["ci"])]))
    asked = {"model": "CODER", "environment": "CI", "agent": "Reviewer", "tags": ["Private"]}
    told = await router.ask(asked, path="/gridtie/route")
    expect(told.status == 200, brief(told))
    targets = [attempt["target"] for attempt in told.json["attempts"]]
    expect(targets == ["here/small"], f"planned {targets}")
    return "200, local alone"


@case("A1.13", "aliases coder and Coder in one file")
async def aliases_differ_by_case(it: Fixture) -> str:
    here, _ = await two(it)
    routing = config(here, use=["local"])
    routing["models"]["Coder"] = routing["models"]["coder"]
    started = await it.start(routing)
    expect(isinstance(started, Ended), "loaded")
    assert isinstance(started, Ended)
    expect(started.status == 2 and "Coder" in started.told, f"exit {started.status}: {started.told[:90]}")
    return "refused at load, named"


@case("A1.14", "environments ci and CI in one file")
async def environments_differ_by_case(it: Fixture) -> str:
    here, _ = await two(it)
    started = await it.start(config(here, use=["local"], environments=["dev", "ci", "CI"]))
    expect(isinstance(started, Ended), "loaded")
    assert isinstance(started, Ended)
    expect(started.status == 2 and "CI" in started.told, f"exit {started.status}: {started.told[:90]}")
    return "refused at load, named"


@case("A1.15", "a budget for the key Station, the key is station")
async def budget_of_a_key_in_capitals(it: Fixture) -> str:
    _, cloud = await two(it)
    budget = {"name": "small", "usd": 0.000001, "key": "Station"}
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[budget]))
    answered = await router.ask(chat(max_tokens=100))
    expect(answered.status == 402 and not cloud.turns, f"the budget does not hold: {brief(answered)}")
    return "402, nothing at the cloud"


@case("A1.16", "the tag in the second of two header lines")
async def tags_in_two_lines(it: Fixture) -> str:
    here, cloud = await two(it)
    router = await it.router(config(here, cloud, use=["cloud", "local"], rules=[never(tags=["HIPAA"])]))
    data = request(chat(), port=router.port, headers={"x-gridtie-tags": "other", "X-Gridtie-Tags": "Hipaa"})
    answered = await router.send(data)
    expect(not cloud.turns, f"answered by the cloud: {brief(answered)}")
    return f"{answered.status}, nothing at the cloud"


@case("A1.17", "a model's name upstream keeps its spelling", held=True)
async def names_upstream(it: Fixture) -> str:
    here, _ = await two(it)
    routing = config(here, use=["local"])
    routing["models"]["coder"]["local"] = ["here/Qwen2.5-Coder-7B-Instruct"]
    router = await it.router(routing)
    answered = await router.ask(chat())
    expect(answered.status == 200, brief(answered))
    sent = here.turns[0].json["model"]
    expect(sent == "Qwen2.5-Coder-7B-Instruct", f"asked for {sent}")
    return "as it is written"


def refused_header(number: int, line: str, nearest: str) -> None:
    """Register a header that is an instruction nobody knows."""

    @case(f"A2.{number}", f"header `{line}`")
    async def body(it: Fixture) -> str:
        here, cloud = await two(it)
        router = await it.router(config(here, cloud, use=["cloud", "local"]))
        name, _, value = line.partition(": ")
        answered = await router.ask(chat(), headers={name: value})
        expect(not (cloud.turns or here.turns), f"passed on: {brief(answered)}")
        expect(answered.status == 400, brief(answered))
        expect(answered.error["code"] == "unknown_header", f"code {answered.error['code']}")
        expect(nearest in answered.error["message"], f"does not name {nearest}: {answered.error['message']}")
        expect(answered.error["source"] == "gridtie", f"source {answered.error['source']}")
        return f"400 unknown_header, names {nearest}"


refused_header(1, "x-gridtie-tag: private", "x-gridtie-tags")
refused_header(2, "x_gridtie_tags: private", "x-gridtie-tags")
refused_header(3, "X-Gridtie-Environmnt: ci", "x-gridtie-environment")
refused_header(4, "gridtie-tags: private", "x-gridtie-tags")
refused_header(5, "X-GridTie_Agents: reviewer", "x-gridtie-agent")
refused_header(6, "x-gridtie-private: true", "x-gridtie-")


@case("A2.7", "an unknown header on a streamed request")
async def refused_before_a_stream(it: Fixture) -> str:
    here, cloud = await two(it)
    router = await it.router(config(here, cloud, use=["cloud", "local"]))
    answered = await router.ask(chat(stream=True), headers={"x-gridtie-tag": "private"})
    expect(not cloud.turns, "the cloud was asked")
    expect(answered.status == 400, brief(answered))
    return "400"


@case("A1.18", "a rule about a local model's own name holds for its other names")
async def every_own_name(it: Fixture) -> str:
    cloud, here = await it.upstream(openai()), await it.upstream(error("500 Oops", "no"))
    rule = {"name": "stay", "when": {"alias": ["here/small"]}, "use": ["local"], "never": "cloud"}
    router = await it.router(config(here, cloud, rules=[rule], use=["local", "remote/gpt-5.4-mini"]))
    for name in ("here/small", "small", "SMALL", " Here/Small "):
        answered = await router.ask({**chat(), "model": name})
        expect(not cloud.turns, f"{name!r} went to the cloud: {brief(answered)}")
    return "no name of it leaves"


@case("A1.19", "GET /v1/models/CODER finds what a request for CODER finds")
async def model_by_any_case(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, None))
    found = await router.ask(path="/v1/models/CODER")
    expect(found.status == 200 and found.json["id"] == "coder", brief(found))
    return "200 coder"


@case("A1.20", "an Ollama model that runs at ollama.com, declared as local")
async def ollama_cloud_model(it: Fixture) -> str:
    here = await it.upstream(openai())
    routing = config(here, None, here_is="ollama")
    routing["models"]["coder"]["local"] = ["here/gpt-oss:120b-cloud"]
    started = await it.start(routing)
    expect(isinstance(started, Ended), "OK at load, and what is private goes to ollama.com")
    assert isinstance(started, Ended)
    expect("ollama.com" in started.told, started.told)
    return "told at load"


def ollama_cloud(number: int, title: str, routing: Mapping[str, Any], **files: str) -> None:
    """Register a way to declare a model that Ollama runs at ollama.com as one of this machine."""

    @case(f"A1.{number}", title)
    async def body(it: Fixture) -> str:
        started = await it.start(routing, files={name.replace("_", "."): text for name, text in files.items()})
        expect(isinstance(started, Ended), "OK at load, and what is private goes to ollama.com")
        assert isinstance(started, Ended)
        expect("ollama.com" in started.told, started.told)
        return "told at load"


def of_the_station(name: str) -> dict[str, Any]:
    """A file whose alias means one model of the station."""
    routing = station_config()
    routing["models"]["coder"]["local"] = name
    return routing


ollama_cloud(21, "such a model of the station, by its bare name", of_the_station("gpt-oss:120b-cloud"))
ollama_cloud(
    22, "such a model of the station, in capitals, with a registry", of_the_station("r.ai/library/glm-5:Cloud")
)
ollama_cloud(
    23,
    "such a model among those that were provisioned",
    station_config(),
    station_json=json.dumps(
        {
            "schema": 1,
            "engine": {"kind": "ollama", "mode": "native"},
            "models": [
                {
                    "name": "gridtie/mine:7b-cloud",
                    "catalogue": "mine:7b-cloud",
                    "dialect": "ollama",
                    "url": "http://127.0.0.1:11434",
                    "context": 32768,
                    "purposes": ["code"],
                }
            ],
        }
    ),
)


@case("A2.8", "a tag in the query")
async def tag_in_the_query(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat(), path="/v1/chat/completions?x-gridtie-tags=private")
    expect(answered.status == 400 and not cloud.turns, brief(answered))
    return f"400 {answered.error['code']}"


@case("A2.9", "a tag in the body")
async def tag_in_the_body(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat(x_gridtie_tags="private"))
    expect(answered.status == 400 and not cloud.turns, brief(answered))
    return f"400 {answered.error['code']}"


def tag_in_a_field(number: int, title: str, **fields: Any) -> None:
    """Register a tag where people put the arguments of an SDK."""

    @case(f"A2.{number}", title)
    async def body(it: Fixture) -> str:
        cloud = await it.upstream(openai())
        router = await it.router(config(None, cloud, use=["cloud"]))
        answered = await router.ask(chat(**fields))
        expect(answered.status == 400 and not cloud.turns, brief(answered))
        expect("send it as a header" in answered.error["message"], brief(answered))
        return f"400 {answered.error['code']}"


PRIVATE = {"x-gridtie-tags": "private"}
tag_in_a_field(11, "a tag in the field extra_headers", extra_headers=PRIVATE)
tag_in_a_field(12, "a tag in extra_headers of the field extra_body", extra_body={"extra_headers": PRIVATE})


@case("A2.13", "metadata that mentions the router passes", held=True)
async def metadata_passes(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, None))
    answered = await router.ask(chat(metadata=PRIVATE))
    expect(answered.status == 200 and here.turns[0].json["metadata"] == PRIVATE, brief(answered))
    return "200, passed on"


@case("A2.10", "a tag in a trailer")
async def tag_in_a_trailer(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"]))
    body = json.dumps(chat()).encode()
    head = request(None, method="POST", headers={"transfer-encoding": "chunked"}, port=router.port)
    answered = await router.send(head + b"%x\r\n%b\r\n0\r\nx-gridtie-tags: private\r\n\r\n" % (len(body), body))
    expect(answered.status == 400 and not cloud.turns, brief(answered))
    return f"400 {answered.error['code']}"
