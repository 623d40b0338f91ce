"""What the numbers of roles may be: an argument spec knows their type alone."""

from __future__ import annotations

import math
from typing import Any, Iterator, Mapping

_PORT = (1, 65535)
_FROM_0, _FROM_1 = (0, math.inf), (1, math.inf)

# The least and the most of each number that a role takes. Where 0 has a meaning, the role's page says which.
RANGES: dict[str, tuple[float, float]] = {
    "gridtie_backup_keep": _FROM_1,
    "gridtie_bench_requests": _FROM_1,
    "gridtie_bench_rounds": _FROM_1,
    "gridtie_bench_throttle": _FROM_0,
    "gridtie_ca_days": _FROM_1,
    "gridtie_cluster_router_max": _FROM_1,
    "gridtie_cluster_router_min": _FROM_1,
    "gridtie_cluster_wait_s": _FROM_0,
    "gridtie_container_engine_start_timeout_s": _FROM_1,
    "gridtie_doctor_timeout_s": _FROM_1,
    "gridtie_embedded_ready_timeout_s": _FROM_1,
    "gridtie_engine_port": _PORT,
    "gridtie_engine_prompt_cache_mib": _FROM_0,
    "gridtie_gpu_reboot_timeout_s": _FROM_1,
    "gridtie_models_accept_seconds": _FROM_0,
    "gridtie_observability_interval_s": _FROM_1,
    "gridtie_observability_keep_days": _FROM_1,
    "gridtie_observability_keep_gb": _FROM_1,
    "gridtie_observability_port": _PORT,
    "gridtie_ollama_context_length": _FROM_0,
    "gridtie_ollama_gpu_overhead": _FROM_0,
    "gridtie_ollama_max_loaded_models": _FROM_0,
    "gridtie_ollama_max_queue": _FROM_0,
    "gridtie_ollama_ready_timeout_s": _FROM_1,
    "gridtie_package_lock_wait_s": _FROM_0,
    "gridtie_port": _PORT,
    "gridtie_preflight_min_disk_gb": _FROM_0,
    "gridtie_preflight_min_memory_gb": _FROM_0,
    "gridtie_router_ready_timeout_s": _FROM_1,
    "gridtie_tls_days": _FROM_1,
    "gridtie_tls_port": _PORT,
    "gridtie_tls_renew_days": _FROM_0,
    "gridtie_upgrade_drain_s": _FROM_0,
    "gridtie_upgrade_min_speed": (0, 1),
    "gridtie_upgrade_runs": _FROM_0,
    "gridtie_vllm_ready_timeout_s": _FROM_1,
    "gridtie_vllm_router_balance": _FROM_0,
    "gridtie_vllm_router_ready_timeout_s": _FROM_1,
}


def problems(specs: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """One for each number out of its range. What is no number at all has its line elsewhere."""
    for name in sorted(RANGES.keys() & values.keys()):
        least, most = RANGES[name]
        try:
            number = float(values[name])
        except (TypeError, ValueError):
            continue
        if math.isfinite(number) and least <= number <= most:
            continue
        wanted = f"{least:g} or more" if most == math.inf else f"a number from {least:g} to {most:g}"
        usual = f", such as {specs[name]['default']}" if "default" in specs[name] else ""
        yield {"found": f"{name} is {values[name]}", "fix": f"set {name} to {wanted}{usual}"}
