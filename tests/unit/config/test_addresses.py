"""What looks like a provider's address and is none is asked about before the first request."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gridtie.config import address
from gridtie.config.load import parse
from gridtie.config.problems import ConfigError
from standins import house


def complaints(base_url: str, type: str = "openai", **more: Any) -> str:
    """What is said about one provider; "" where nothing is."""
    document = house.document()
    document["providers"]["x"] = {"type": type, "base_url": base_url, **more}
    try:
        parse(yaml.safe_dump(document, sort_keys=False).encode(), "r.yaml")
    except ConfigError as error:
        return str(error)
    return ""


TRAPS = [
    ("openai", "http://gpu:11434", "write type: ollama and base_url: http://gpu:11434"),
    ("openai", "http://gpu:11434/v1", "write type: ollama and base_url: http://gpu:11434"),
    ("openai", "https://h.example/v1/chat/completions", "write https://h.example/v1"),
    ("openai", "https://h.example:8000/v1/chat/completions/", "write https://h.example:8000/v1"),
    ("openai", "https://h.example/chat/completions", "write https://h.example/v1"),
    ("openai", "https://h.example/v1/completions", "write https://h.example/v1"),
    ("openai", "https://h.example/v1/responses", "write https://h.example/v1"),
    ("openai", "https://h.example/v1/embeddings", "write https://h.example/v1"),
    ("openai", "https://h.example/v1/messages", "write https://h.example/v1"),
    ("openai", "https://h.example/v1/models", "write https://h.example/v1"),
    ("openai", "https://openrouter.ai/api/v1/chat/completions", "write https://openrouter.ai/api/v1"),
    ("openai", "https://h.example", "write https://h.example/v1"),
    ("openai", "https://h.example/", "write https://h.example/v1"),
    ("openai", "https://h.example//v1", "write https://h.example/v1"),
    ("openai", "https://h.example/v1/v1", "write https://h.example/v1"),
    ("openai", "https://api.openai.com", "write https://api.openai.com/v1"),
    ("openai", "https://openrouter.ai/v1", "write https://openrouter.ai/api/v1"),
    ("openai", "https://api.anthropic.com/v1", "write type: anthropic"),
    ("anthropic", "https://api.openai.com/v1", "write type: openai"),
    ("anthropic", "https://api.anthropic.com/v1/messages", "write https://api.anthropic.com"),
    ("anthropic", "https://api.anthropic.com/v1", "is added by the router"),
    ("ollama", "https://h.example/api/chat", "write https://h.example"),
    ("ollama", "https://h.example/v1/chat/completions", "write https://h.example"),
    ("ollama", "https://h.example/api", "is added by the router"),
    ("openai", "https://x.openai.azure.com/openai/deployments/gpt", "write https://x.openai.azure.com/openai/v1"),
    (
        "openai",
        "https://x.cognitiveservices.azure.com/openai/deployments/gpt/chat/completions",
        "write https://x.cognitiveservices.azure.com/openai/v1",
    ),
    (
        "openai",
        "https://x.azure-api.net/team/openai/deployments/gpt",
        "name the deployment as the model, and write https://x.azure-api.net/team/openai/v1",
    ),
    ("openai", "http://h.example:443/v1", "write https://"),
    ("openai", "https://h.example:80/v1", "write http://"),
    ("openai", "http://127.0.0.1:8484/v1", "this router itself"),
    ("openai", "http://localhost:8484/v1", "this router itself"),
    ("openai", "http://[::1]:8484/v1", "this router itself"),
]


@pytest.mark.parametrize(("type", "url", "says"), TRAPS)
def test_a_known_trap_is_told_with_what_is_meant(type: str, url: str, says: str) -> None:
    locality = {"locality": "local"} if "gpu" in url else {}

    assert says in complaints(url, type, **locality)
    assert "providers.x." in complaints(url, type, **locality)


@pytest.mark.parametrize(("type", "url", "says"), [trap for trap in TRAPS if "write http" in trap[2]])
def test_what_is_advised_for_a_trap_holds(type: str, url: str, says: str) -> None:
    locality = {"locality": "local"} if "gpu" in url else {}
    advised = says.rpartition(" ")[2]
    if "type: ollama" in says:
        type = "ollama"
    if advised in ("https://", "http://"):
        advised += url.partition("://")[2].replace(":443", "").replace(":80", ":8080")
        locality = {"locality": "local"}

    assert complaints(advised, type, **locality) == ""


@pytest.mark.parametrize(
    ("type", "url"),
    [
        ("openai", "https://x.openai.azure.com/openai/v1"),
        ("openai", "https://gateway.example/deployments/gpt/v1"),
        ("openai", "https://x.services.ai.azure.com/models"),
        ("openai", "https://gateway.example/api"),
        ("openai", "https://gpu.example:8000/v1/"),
        ("openai", "http://127.0.0.1:8000/v1"),
        ("openai", "https://api.groq.com/openai/v1"),
        ("anthropic", "https://gateway.example/anthropic"),
        ("ollama", "https://gpu.example:11434"),
        ("ollama", "https://gpu_1.internal"),
    ],
)
def test_what_other_servers_are_known_to_use_is_let_through(type: str, url: str) -> None:
    assert complaints(url, type) == ""


@pytest.mark.parametrize(
    "host", ["api.openai.com", "eu.api.openai.com", "api.openai.com.", "x.openai.azure.com", "api.mistral.ai"]
)
def test_a_cloud_cannot_be_declared_local(host: str) -> None:
    assert "is not local; remove `locality: local`" in complaints(f"https://{host}/v1", locality="local")


FAULTS = [
    ("", "is empty"),
    ("geheim", "does not begin with"),
    ("ftp://geheim/v1", "does not begin with"),
    ("https://", "names no host"),
    ("https:///geheim", "names no host"),
    ("https://u:geheim@h/v1", "carries a credential"),
    ("https://geheim@h/v1", "carries a credential"),
    ("https://u:geh/eim@h/v1", "carries a credential"),
    ("https://u:1/geheim@h/v1", "carries a credential"),
    ("https://h/v1?key=geheim", "query or fragment"),
    ("https://h/v1#geheim", "query or fragment"),
    ("https://h:geheim/v1", "its port is not a number"),
    ("https://h:0/v1", "its port is not a number"),
    ("https://h:65536/v1", "its port is not a number"),
    ("https://[::1/geheim", "brackets"),
    ("https://[geheim]/v1", "is no address"),
    ("https://geheim geheim/v1", "a space"),
    ("https://h/v1\ngeheim", "a space"),
    ("https://h/v1\x00geheim", "control character"),
    ("https://géheim.example/v1", "beyond ASCII"),
    ("https://<geheim>/v1", "placeholder"),
    ("${geheim}", "placeholder"),
    ("'https://geheim/v1'", "quote"),
    ("https:\\\\geheim", "backslash"),
    ("https://-geheim/v1", "cannot be one"),
    ("https://geheim..example/v1", "cannot be one"),
    ("https://127.1/v1", "four numbers"),
    ("https://2130706433/v1", "four numbers"),
    ("http://0.0.0.0:1234/v1", "where a server listens"),
    ("http://[::]:1234/v1", "where a server listens"),
]


@pytest.mark.parametrize(("text", "says"), FAULTS)
def test_what_is_no_address_is_told_without_a_part_of_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        address.read(text)

    assert "geheim" not in str(caught.value)
    assert "geheim" not in complaints(text)
    assert says in complaints(text)


@pytest.mark.parametrize(
    ("text", "base", "path"),
    [
        ("HTTPS://Api.Example/v1/", "https://api.example", "/v1"),
        ("http://[::1]:80/", "http://[::1]", ""),
        ("https://h:8443", "https://h:8443", ""),
        ("https://h:/v1", "https://h", "/v1"),
    ],
)
def test_an_address_is_scheme_host_port_and_path(text: str, base: str, path: str) -> None:
    found = address.read(text)

    assert (found.base, found.path) == (base, path)
