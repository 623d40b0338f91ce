"""What vLLM says of itself without inference: a model's context in /v1/models, its load in /metrics. Pure."""

from __future__ import annotations

import re
from collections import defaultdict

import msgspec

# What `/v1/models` names as the owner of what vLLM serves (vllm/entrypoints/openai/models, 0.32.0).
OWNER = "vllm"

# Of its metrics, with labels of the engine (several where it runs data-parallel) and the model (vllm/v1/metrics).
_LINE = re.compile(
    rb"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc)(?:\{[^}\n]*\})? ([0-9.eE+-]+)\s*$",
    re.MULTILINE,
)

# More than any server has of anything; beyond it, or below 0, metrics are damaged or hostile.
_MOST = 1e9


class Load(msgspec.Struct, frozen=True):
    """Requests that it computes, and that wait inside it; the used share of its cache, from 0 to 1."""

    running: int
    waiting: int
    cache: float


def read_load(metrics: bytes) -> Load | None:
    """The load by its metrics, of all engines of one server; None where they do not say it."""
    found: dict[bytes, list[float]] = defaultdict(list)
    for name, value in _LINE.findall(metrics):
        try:
            number = float(value)
        except ValueError:
            return None
        if not 0 <= number <= _MOST:
            return None
        found[name].append(number)
    running, waiting = found[b"num_requests_running"], found[b"num_requests_waiting"]
    if not running or not waiting:
        return None
    cache = max(found[b"kv_cache_usage_perc"], default=0.0)
    return Load(round(sum(running)), round(sum(waiting)), min(1.0, max(0.0, cache)))


def metrics_url(base_url: str) -> str:
    """Where its metrics are: beside /v1, also below a path of a proxy."""
    return base_url.removesuffix("/v1") + "/metrics"
