"""What people write and paste into files: told at load, in words that help, and never with a secret. (B1 to B5)"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from cases.harness import Ended, Fixture, Router, brief
from cases.registry import case, expect
from cases.routing_files import PRICE
from cases.upstreams import openai
from standins.router import KEY, OTHER_KEY, chat

SECRET = "hunter2-kept-secret"
API_KEY = "sk-proj-4f9c1e77b2kept0secret"


def routing(provider: Mapping[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """A plain file with one provider, `house`; nothing is ever sent to it."""
    house = {"type": "openai", "base_url": "http://127.0.0.1:9/v1", "locality": "local", **(provider or {})}
    return {
        "version": 1,
        "providers": {"house": house},
        "models": {"coder": {"local": "house/small"}},
        "rules": [{"name": "all", "use": ["local"]}],
        **sections,
    }


def cloud(provider: Mapping[str, Any]) -> dict[str, Any]:
    """A plain file with one cloud, `house`."""
    house = {"type": "openai", "base_url": "http://127.0.0.1:9/v1", **provider}
    return {
        "version": 1,
        "providers": {"house": house},
        "models": {"coder": {"local": None, "cloud": {"provider": "house", "model": "m"}}},
        "rules": [{"name": "all", "use": ["cloud"]}],
    }


async def told(it: Fixture, text: Any, **options: Any) -> str:
    """What the router says at load, whether or not it starts."""
    started = await it.start(text, **options)
    if isinstance(started, Ended):
        return started.told
    await asyncio.sleep(0.05)
    return started.log()


async def refused(it: Fixture, text: Any, *words: str, secrets: Sequence[str] = (), **options: Any) -> str:
    """Expect that it does not start, names all these words (in any case), and shows no secret."""
    started = await it.start(text, **options)
    expect(isinstance(started, Ended), "OK at load")
    assert isinstance(started, Ended)
    first = started.told.strip().partition("\n")[0]
    expect(started.status == 2, f"exit {started.status}: {first}")
    expect("Traceback" not in started.told, "a traceback")
    shown = [secret for secret in secrets if secret in started.told]
    expect(not shown, f"shows the secret: {first}")
    missing = [word for word in words if word.lower() not in started.told.lower()]
    expect(not missing, f"does not say {', '.join(missing)}: {first}")
    return f"told: {first}"[:110]


def wrong(
    id: str, title: str, text: Any, *words: str, secrets: Sequence[str] = (), held: bool = False, **options: Any
) -> None:
    """Register a file that is refused with these words and without those secrets."""

    @case(id, title, held=held)
    async def body(it: Fixture) -> str:
        return await refused(it, text, *words, secrets=secrets, **options)


# -- B1: secrets -------------------------------------------------------------------------------------------------------

# Parts of them, so that one which is cut short is found as well.
HIDDEN = ("hunter2", "4f9c1e77b2")
wrong("B1.1", "a key written into key_file", cloud({"key_file": API_KEY}), "house", "key_file", secrets=HIDDEN)
wrong(
    "B1.2",
    "a password in base_url",
    cloud({"base_url": f"https://me:{SECRET}@gateway.example/v1"}),
    "base_url",
    "key_file",
    secrets=HIDDEN,
)
wrong(
    "B1.3",
    "a key in base_url's query",
    cloud({"base_url": f"https://gateway.example/v1?key={API_KEY}"}),
    "base_url",
    secrets=HIDDEN,
)
wrong(
    "B1.4",
    "a password in a base_url with a bad port",
    cloud({"base_url": f"https://me:{SECRET}@gateway.example:p/v1"}),
    "base_url",
    secrets=HIDDEN,
)
wrong("B1.5", "a key where a provider is named", {**cloud({}), "providers": API_KEY}, "providers", secrets=HIDDEN)
wrong("B1.6", "a key as max_in_flight", cloud({"max_in_flight": API_KEY}), "max_in_flight", secrets=HIDDEN)
wrong("B1.7", "a key as ca_file", cloud({"ca_file": API_KEY}), "ca_file", secrets=HIDDEN)
wrong("B1.8", "an unknown key `api_key` with a key", cloud({"api_key": API_KEY}), "api_key", secrets=HIDDEN, held=True)


async def spoilt(it: Fixture) -> Router:
    """A router whose file has been spoilt with a secret after it started."""
    here = await it.upstream(openai())
    router = await it.router(routing({"base_url": here.url}))
    (router.config / "llm_routing.yaml").write_text(yaml.safe_dump(cloud({"key_file": API_KEY})))
    await router.reload()
    return router


@case("B1.9", "a key in key_file at a reload: log and /gridtie/config")
async def secret_at_reload(it: Fixture) -> str:
    router = await spoilt(it)
    whole = await router.ask(path="/gridtie/config", key=KEY)
    expect(API_KEY not in whole.body.decode(), "GET /gridtie/config shows it")
    expect(API_KEY not in router.log(), "the log shows it")
    expect("key_file" in (whole.json["error"] or ""), f"the admin is told {whole.json['error']!r}")
    return "the admin is told which key, not its value"


@case("B1.10", "/gridtie/config in full for admin keys only")
async def config_for_others(it: Fixture) -> str:
    router = await spoilt(it)
    whole = await router.ask(path="/gridtie/config", key=KEY)
    other = await router.ask(path="/gridtie/config", key=OTHER_KEY)
    expect(whole.status == 200 and whole.json["error"], brief(whole))
    expect(API_KEY not in other.body.decode(), "shows the secret to every key")
    expect("key_file" not in other.body.decode(), "shows what is wrong to every key")
    return f"the other key gets {other.status}, {len(other.body)} bytes"


@case("B1.11", "a reload with a mistake keeps the old file serving", held=True)
async def old_file_serves(it: Fixture) -> str:
    router = await spoilt(it)
    answered = await router.ask(chat())
    expect(answered.status == 200, brief(answered))
    return "200 by the old file"


# -- B2: traps ---------------------------------------------------------------------------------------------------------


def asked_about(id: str, title: str, text: Mapping[str, Any], *words: str) -> None:
    """Register what is formally right and surely not meant: the router asks at load, whether or not it starts."""

    @case(id, title)
    async def body(it: Fixture) -> str:
        said = await told(it, text)
        missing = [word for word in words if word.lower() not in said.lower()]
        expect(not missing, f"OK at load, does not say {', '.join(missing)}")
        return "asked about, with what is meant"


asked_about(
    "B2.1",
    "a remote Ollama as type: openai on 11434",
    routing({"base_url": "http://192.0.2.7:11434/v1"}),
    "house",
    "type: ollama",
)
asked_about("B2.2", "Ollama here as type: openai", routing({"base_url": "http://localhost:11434/v1"}), "type: ollama")
asked_about(
    "B2.3",
    "base_url with /chat/completions",
    routing({"base_url": "http://127.0.0.1:9/v1/chat/completions"}),
    "base_url",
)
asked_about("B2.4", "base_url without /v1", routing({"base_url": "http://127.0.0.1:9"}), "base_url", "/v1")
asked_about("B2.5", "base_url with //v1", routing({"base_url": "http://127.0.0.1:9//v1"}), "base_url", "//")
asked_about(
    "B2.6",
    "a price of 0.00000075: per token",
    cloud({"prices": {"m": {"input": 0.00000075, "output": 0.0000045}}}),
    "prices",
    "million",
)
asked_about(
    "B2.7",
    "an Anthropic base_url with /v1/messages",
    cloud({"type": "anthropic", "base_url": "https://api.anthropic.com/v1/messages"}),
    "base_url",
)
asked_about(
    "B2.8",
    "an Ollama base_url with /api/chat",
    routing({"type": "ollama", "base_url": "http://127.0.0.1:11434/api/chat"}),
    "base_url",
)


asked_about(
    "B2.10",
    "an Azure base_url with /deployments/",
    cloud({"base_url": "https://x.openai.azure.com/openai/deployments/gpt"}),
    "base_url",
    "write https://x.openai.azure.com/openai/v1",
)
asked_about(
    "B2.11",
    "first_token above total",
    routing(timeouts={"first_token": 90, "total": 30}),
    "timeouts.first_token",
    "timeouts.total ends a request after 30 s",
)


@case("B2.12", "a budget for a key that is not there: it serves, and an admin is told")
async def budget_of_nobody(it: Fixture) -> str:
    here = await it.upstream(openai())
    budgets = [{"name": "app", "usd": 1, "key": "billing-service"}]
    router = await it.router(routing({"base_url": here.url}, budgets=budgets))
    answered = await router.ask(chat())
    expect(answered.status == 200, brief(answered))
    told = (await router.ask(path="/gridtie/config", key=KEY)).json.get("warnings") or [""]
    for where, text in (("GET /gridtie/config", told[0]), ("the log", router.log())):
        expect("billing-service" in text and "limits nobody" in text, f"{where} says nothing")
    return "200, told in the log and in GET /gridtie/config"


@case("B2.9", "base_url with /v1/ and a usual price: nothing is asked", held=True)
async def nothing_to_ask(it: Fixture) -> str:
    here = await it.upstream(openai())
    text = cloud({"base_url": f"{here.url}/", "prices": {"m": PRICE}})
    router = await it.router(text)
    answered = await router.ask(chat())
    expect(answered.status == 200, brief(answered))
    for word in ("base_url", "prices"):
        found = next((line for line in router.log().splitlines() if word in line), "")
        expect(not found, f"asks about {word}: {found}")
    return "200, nothing is asked"


# -- B3: the environment -----------------------------------------------------------------------------------------------


def variable(number: int, name: str, value: str, *words: str, held: bool = False) -> None:
    """Register a malformed variable: named with the mistake, nothing of its value where that may hold a password."""

    @case(f"B3.{number}", f"{name}={value.replace(SECRET, '...')}", held=held)
    async def body(it: Fixture) -> str:
        secrets = [part for part in (SECRET, "proxy.example") if part in value]
        said = await refused(it, cloud({}), name, *words, secrets=secrets, **{name: value})
        expect("could not be cast" not in said, f"a library's words: {said}")
        return said


variable(1, "HTTPS_PROXY", f"http://me:{SECRET}@proxy.example:p/", "port")
variable(2, "https_proxy", f"http://me:{SECRET}@proxy.example:99999/", "port")
variable(3, "HTTPS_PROXY", f"http://me:{SECRET}@[::1/")
variable(4, "HTTPS_PROXY", f"socks5://me:{SECRET}@127.0.0.1:1080", "http://", held=True)
variable(5, "HTTPS_PROXY", f"http://me:{SECRET}@", held=True)
variable(6, "GRIDTIE_LISTEN", "127.0.0.1:p", "address:port", held=True)
variable(7, "GRIDTIE_DRAIN_SECONDS", "nan")
variable(8, "GRIDTIE_DRAIN_SECONDS", "-5")
variable(9, "GRIDTIE_DRAIN_SECONDS", "soon", "seconds", held=True)
variable(10, "GRIDTIE_LISTEN", "127.0.0.1:\u00b2", "address:port")


# -- B4: what people paste ---------------------------------------------------------------------------------------------


def secret_file(number: int, title: str, text: str, held: bool = False) -> None:
    """Register a secret file that holds more, or something else, than a key."""

    @case(f"B4.{number}", f"a secret file: {title}", held=held)
    async def body(it: Fixture) -> str:
        files = {"secrets/key": text}
        return await refused(it, cloud({"key_file": "secrets/key"}), "secrets/key", secrets=HIDDEN, files=files)


secret_file(1, '"key" in quotes', f'"{API_KEY}"\n')
secret_file(2, "'key' in quotes", f"'{API_KEY}'\n")
secret_file(3, "NAME=value", f"OPENAI_API_KEY={API_KEY}\n")
secret_file(4, "export NAME=value", f"export OPENAI_API_KEY={API_KEY}\n", held=True)
secret_file(5, "<your-key-here>", "<your-key-here>\n")
secret_file(6, "Bearer key", f"Bearer {API_KEY}\n", held=True)
secret_file(7, "two lines", f"{API_KEY}\n{API_KEY}\n", held=True)
secret_file(8, "empty", "\n", held=True)
secret_file(9, "a byte-order mark and a key", f"\ufeff{API_KEY}\n", held=True)
secret_file(10, "sk-...", "sk-...\n")
secret_file(11, "changeme", "changeme\n")


@case("B4.12", "a secret file with a key and a line end", held=True)
async def plain_secret(it: Fixture) -> str:
    upstream = await it.upstream(openai())
    text = cloud({"base_url": upstream.url, "key_file": "secrets/key"})
    router = await it.router(text, files={"secrets/key": f"{API_KEY}\r\n"})
    answered = await router.ask(chat())
    expect(answered.status == 200, brief(answered))
    sent = upstream.turns[0].headers.get("authorization")
    expect(sent == f"Bearer {API_KEY}", "the key is not sent as it is")
    return "200, the key is sent"


def literally(text: Mapping[str, Any], found: str, written: str) -> str:
    """A file with one value as somebody writes it."""
    made = yaml.safe_dump(dict(text), sort_keys=False)
    if found not in made:
        raise ValueError(f"{found!r} is not in the file")
    return made.replace(found, written)


LIMITED = routing({"max_in_flight": 12345})
wrong("B4.13", "max_in_flight: 010", literally(LIMITED, "12345", "010"), "llm_routing.yaml:", "max_in_flight", "10")
wrong("B4.14", "version: '1'", literally(routing(), "version: 1", "version: '1'"), "version", "quote")
wrong(
    "B4.15",
    "timeouts.total: 060",
    literally(routing(timeouts={"total": 12345}), "12345", "060"),
    "timeouts.total",
    "60",
)
wrong("B4.16", "max_in_flight: '4'", literally(LIMITED, "12345", "'4'"), "max_in_flight", "quote")
wrong("B4.17", "stream options: include_usage: 'yes'", routing({"include_usage": "yes"}), "include_usage", held=True)


# -- B5: told with a remedy --------------------------------------------------------------------------------------------

PLAIN = yaml.safe_dump(routing(), sort_keys=False)


def loads(id: str, title: str, text: bytes) -> None:
    """Register a file that is right however it is written."""

    @case(id, title, held=True)
    async def body(it: Fixture) -> str:
        await it.router(text)
        return "loaded"


loads("B5.1", "a byte-order mark", b"\xef\xbb\xbf" + PLAIN.encode())
loads("B5.2", "CRLF", PLAIN.replace("\n", "\r\n").encode())
wrong("B5.3", "a duplicate key", PLAIN + "version: 1\n", "version", "already given in line", held=True)
wrong(
    "B5.4",
    "a merge key",
    PLAIN.replace("    type: openai\n", "    <<: {type: openai}\n"),
    "merge keys",
    "write the keys out",
    held=True,
)
wrong("B5.5", "a tab", PLAIN.replace("  house:", "\thouse:"), "tab", "spaces", held=True)
wrong("B5.6", "UTF-16", PLAIN.encode("utf-16"), "UTF-8", held=True)
wrong(
    "B5.7",
    "a file encrypted by Ansible Vault",
    "$ANSIBLE_VAULT;1.1;AES256\n6638643965323633646262656665306\n",
    "llm_routing.yaml",
    held=True,
)
wrong("B5.8", "Jinja", PLAIN.replace("http://127.0.0.1:9/v1", "{{ base_url }}"), "llm_routing.yaml:", held=True)
wrong(
    "B5.9",
    "a LiteLLM file",
    yaml.safe_dump({"model_list": [{"model_name": "gpt", "litellm_params": {"model": "openai/gpt"}}]}),
    "model_list",
    "unknown key",
    held=True,
)
wrong("B5.10", "JSON with a comma too many", json.dumps(routing())[:-1] + ",,}", "llm_routing.yaml:", held=True)
