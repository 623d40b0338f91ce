"""What a local engine is: where it is asked, what says how it is, and its models as targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from gridtie.config.schema import Provider
from gridtie.config.station import Station, StationModel
from gridtie.providers.target import Target
from gridtie.providers.wire import Headers

Dialect = Literal["ollama", "openai"]


def models(
    name: str, provider: Provider, station: Station, headers: Headers = ()
) -> Iterator[tuple[StationModel, Target]]:
    """The models of this station, which is the provider `name`, as targets; `headers` are for an engine that hands
    requests on.
    """
    for model in station.models:
        yield (
            model,
            Target(
                id=f"{name}/{model.name}",
                provider=name,
                model=model.name,
                locality="local",
                dialect=model.dialect,
                base_url=base_url(model.dialect, model.url),
                probe_url=probe_url(model.dialect, model.url, station.engine.kind),
                context=model.context,
                trained_context=model.trained_context,
                predicted_bytes=model.predicted_bytes or 0,
                larger_contexts=tuple(model.larger_contexts),
                slots=model.parallel,
                servers=tuple(model.servers.items()),
                own=True,
                provider_slots=provider.max_in_flight,
                max_relayed=provider.max_relayed,
                capabilities=capabilities(model),
                score=model.score,
                include_usage=provider.include_usage,
                engine=station.engine.kind,
                engine_version=station.engine.version,
                digest=model.digest,
                held_calls=model.held_calls,
                acceptance=model.acceptance,
                headers=headers,
            ),
        )


def capabilities(model: StationModel) -> frozenset[str]:
    """What it can be asked for: everything chats, but for models that answer with vectors, and for those without a
    template, which complete text alone.
    """
    known = frozenset(model.capabilities)
    return known if "embeddings" in known or model.purposes == ["completion"] else known | {"chat"}


def base_url(dialect: Dialect, url: str) -> str:
    """station.json names the engine; llama.cpp's server has its OpenAI surface below /v1."""
    return url.rstrip("/") + ("/v1" if dialect == "openai" else "")


def probe_url(dialect: Dialect, url: str, engine: str = "") -> str:
    """Ollama lists what is in memory; llama.cpp's server says whether its model is; vLLM with how much context;
    vllm-router which of its servers are well.
    """
    if engine == "vllm":
        return f"{base_url(dialect, url)}/models"
    parts = urlsplit(url)
    if engine == "vllm_router":
        return f"{parts.scheme}://{parts.netloc}/workers"
    return f"{parts.scheme}://{parts.netloc}" + ("/health" if dialect == "openai" else "/api/ps")
