"""What vLLM's metrics say of its load, and what is made of metrics that say nothing."""

from __future__ import annotations

import pytest

from gridtie.providers.vllm import Load, metrics_url, read_load

TWO_ENGINES = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
"""


def test_engines_of_one_server_are_added_up_and_the_fullest_cache_counts() -> None:
    assert read_load(TWO_ENGINES) == Load(running=4, waiting=2, cache=0.5)


def test_metrics_without_labels_and_in_any_notation_are_read() -> None:
    said = b"vllm:num_requests_running 1e1\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 1.2e0\n"

    assert read_load(said) == Load(running=10, waiting=0, cache=1.0)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"<html>",
        b"vllm:num_requests_running 1\n",
        b"vllm_router:num_requests_running 1\nvllm_router:num_requests_waiting 1\n",
        b"vllm:num_requests_running 1e999\nvllm:num_requests_waiting 1\n",
        b"vllm:num_requests_running 1e308\nvllm:num_requests_running 1e308\nvllm:num_requests_waiting 1\n",
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting -5\n",
        b"vllm:num_requests_running --\nvllm:num_requests_waiting 1\n",
    ],
)
def test_what_does_not_say_it_says_nothing(said: bytes) -> None:
    assert read_load(said) is None


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://gpu:8000/v1", "http://gpu:8000/metrics"),
        ("https://gpu.example/team/v1", "https://gpu.example/team/metrics"),
    ],
)
def test_metrics_are_beside_the_surface(base: str, url: str) -> None:
    assert metrics_url(base) == url
