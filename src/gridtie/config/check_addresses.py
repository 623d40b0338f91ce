"""Addresses of providers: what would pass for one and fail, or send prompts elsewhere, at the first request."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gridtie.config import address
from gridtie.config.address import Address, is_loopback
from gridtie.config.problems import KeyPath, Problem
from gridtie.config.schema import Provider

# What the router adds to a base URL, or a client of another kind would.
_ENDPOINT = re.compile(
    r"/(?:(?:chat/)?completions|messages|responses|embeddings|api/(?:chat|generate|tags|ps|show|embed))$"
    r"|(?<=/v1)/models$"
)

# Clouds, each with the domains below it: not local, whatever a file says. A slip of the pen here would send private
# prompts away. Hosts that one rents and runs oneself (amazonaws.com, cloudapp.azure.com) are not among them.
_PUBLIC = frozenset(
    {
        "openai.com",
        "openai.azure.com",
        "services.ai.azure.com",
        "anthropic.com",
        "openrouter.ai",
        "ollama.com",
        "groq.com",
        "mistral.ai",
        "deepseek.com",
        "together.xyz",
        "together.ai",
        "fireworks.ai",
        "x.ai",
        "cohere.com",
        "cohere.ai",
        "perplexity.ai",
        "replicate.com",
        "googleapis.com",
        "api-inference.huggingface.co",
        "router.huggingface.co",
    }
)

# Host -> the one type that is asked there, by its own documentation.
_TYPES = {"api.openai.com": "openai", "api.anthropic.com": "anthropic"}
# Host -> where its OpenAI surface is, by its own documentation.
_PATHS = {
    "api.openai.com": "/v1",
    "api.mistral.ai": "/v1",
    "openrouter.ai": "/api/v1",
    "api.groq.com": "/openai/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
}

# A deployment's own address at Azure, or at a gateway of Azure's kind.
_DEPLOYMENT = re.compile(r"(?P<before>.*?)(?:/openai)?/deployments(?:/|$)", re.IGNORECASE)
_AZURE = (".azure.com", ".azure.us", ".azure.cn", ".azure-api.net")

_OLLAMA_PORT = 11434
# Where this router listens unless GRIDTIE_LISTEN says otherwise.
_OWN_PORT = 8484


def addresses(provider: Provider, path: KeyPath) -> Iterator[Problem]:
    """What is wrong with a provider's base URL; one problem for each thing that must be changed in it."""
    where = (*path, "base_url")
    try:
        url = address.read(provider.base_url or "")
    except ValueError as error:
        yield Problem(path=where, what=f"it {error}", fix="wanted: https://host[:port][/path]")
        return
    yield from _trust(provider, url, path)
    wanted = _TYPES.get(url.host.removesuffix("."), provider.type)
    if wanted != provider.type:
        yield Problem(path=(*path, "type"), what=f"{url.host} is asked as {wanted}", fix=f"write type: {wanted}")
    else:
        yield from _form(provider, url, where)


def _trust(provider: Provider, url: Address, path: KeyPath) -> Iterator[Problem]:
    """Who would read what is sent there."""
    where = (*path, "base_url")
    if (url.scheme, url.port) in (("http", 443), ("https", 80)):
        right = "https" if url.port == 443 else "http"
        yield Problem(path=where, what=f"{url.scheme} is not spoken on port {url.port}", fix=f"write {right}://")
    elif url.scheme == "http" and provider.locality == "cloud" and not is_loopback(url.host):
        yield Problem(
            path=where,
            what=f"prompts and key would travel to {url.host} unencrypted",
            fix="use https, or declare `locality: local` if it is a machine of yours",
        )
    if provider.locality == "local" and _is_public(url.host):
        yield Problem(path=(*path, "locality"), what=f"{url.host} is not local", fix="remove `locality: local`")
    if url.port == _OWN_PORT and is_loopback(url.host):
        yield Problem(
            path=where,
            what=f"port {_OWN_PORT} of this machine is this router itself, which would ask itself without end",
            fix="name the port of the engine",
        )


def _is_public(host: str) -> bool:
    host = host.removesuffix(".")
    return any(host == domain or host.endswith(f".{domain}") for domain in _PUBLIC)


def _form(provider: Provider, url: Address, where: KeyPath) -> Iterator[Problem]:
    """The path, and the port that goes with it. The first thing that is found, for the others may go with it."""
    deployment = _DEPLOYMENT.match(url.path) if url.host.removesuffix(".").endswith(_AZURE) else None
    if deployment is not None:
        yield Problem(
            path=where,
            what="a deployment of Azure is asked with a query (api-version), which the router does not send",
            fix=f"name the deployment as the model, and write {url.base}{deployment['before']}/openai/v1",
        )
    elif _ENDPOINT.search(url.path):
        base = _ENDPOINT.sub("", url.path)
        what = "it goes on to an endpoint, which the router adds itself"
        yield Problem(path=where, what=what, fix=f"write {url.base}{_base_path(provider, url, base)}")
    elif "//" in url.path:
        base = re.sub("/+", "/", url.path)
        yield Problem(path=where, what="it has two slashes in a row", fix=f"write {url.base}{base}")
    elif provider.type == "openai":
        yield from _openai(url, where)
    elif url.path.endswith(("/v1", "/api")):
        yield Problem(
            path=where,
            what=f"{url.path!r} is added by the router for providers of type {provider.type}",
            fix="leave it off",
        )


def _openai(url: Address, where: KeyPath) -> Iterator[Problem]:
    if url.port == _OLLAMA_PORT:
        yield Problem(
            path=where,
            what=f"port {_OLLAMA_PORT} is Ollama's, which the router asks in Ollama's own way",
            fix=f"write type: ollama and base_url: {url.base}",
        )
    elif url.host in _PATHS and url.path != _PATHS[url.host]:
        yield Problem(path=where, what="its path is another one", fix=f"write {url.base}{_PATHS[url.host]}")
    elif not url.path:
        yield Problem(
            path=where,
            what="it has no path, and OpenAI-compatible servers answer below one, nearly always /v1",
            fix=f"write {url.base}/v1",
        )
    elif url.path.endswith("/v1/v1"):
        yield Problem(path=where, what="it ends in /v1 twice", fix=f"write {url.base}{url.path.removesuffix('/v1')}")


def _base_path(provider: Provider, url: Address, base: str) -> str:
    if provider.type == "openai":
        return _PATHS.get(url.host) or base or "/v1"
    for added in ("/v1", "/api"):
        base = base.removesuffix(added)
    return base
