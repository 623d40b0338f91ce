"""What the role `cluster` writes into its manifests beside what stands in them, and what it holds against a cluster."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..plugin_utils import gridtie_cluster as checks

DOCUMENTATION = r"""
name: gridtie_cluster
short_description: Manifests and checks of the role cluster
description:
  - C(gridtie_cluster_arguments) gives vLLM's own arguments for a model, C(gridtie_cluster_resources) what its pod asks
    for, C(gridtie_cluster_picker_arguments) those of the picker of its pool, C(gridtie_cluster_placed) manifests with
    their namespace, C(gridtie_cluster_secret_names), C(gridtie_cluster_secret_items) and C(gridtie_cluster_secret_data)
    what of a Secret is which file, C(gridtie_cluster_superfluous) what the inventory no longer names,
    C(gridtie_cluster_awaited) and C(gridtie_cluster_named) what has to run.
  - C(gridtie_cluster_problems) and C(gridtie_cluster_lacks) say what is wrong with the inventory and with the cluster,
    C(gridtie_cluster_refusals) what it would not take, C(gridtie_cluster_notices) what is worth to be known.
author: Gridtie contributors
"""

# Where a claim is mounted.
_CHECKPOINT = "/models"
_CARD = "nvidia.com/gpu"
# Seconds that running answers have when a server goes; models.yaml.j2 gives the pod as long, and what comes before.
_DRAIN_S = 280


def arguments(model: Mapping[str, Any], port: int) -> list[str]:
    """Of vLLM's server, as the role engine_vllm has them. Neither pickled weights nor code of a model's is read."""
    claim = model.get("claim")
    place = f"{_CHECKPOINT}/{model.get('path', '')}".rstrip("/") if claim else model["source"].removeprefix("hf.co/")
    # Within the pod's own network, whose doors are the network policies.
    words = ["--host", "0.0.0.0", "--port", str(port)]  # noqa: S104
    words += ["--model", place, "--served-model-name", model["served"]]
    if not claim:
        words += ["--revision", model["revision"], "--tokenizer-revision", model["revision"]]
    words += ["--load-format", "safetensors"]
    if model.get("context"):
        words += ["--max-model-len", str(model["context"])]
    words += ["--max-num-seqs", str(model.get("parallel", 64))]
    cards = int(model.get("cards", 1))
    if cards > 1:
        words += ["--tensor-parallel-size", str(cards)]
    if cards:
        words += ["--gpu-memory-utilization", f"{model.get('gpu_memory_utilization', 0.9):g}"]
    else:
        # The compiler is not in the image, and takes minutes.
        words += ["--enforce-eager"]
    if model.get("tool_parser"):
        words += ["--enable-auto-tool-choice", "--tool-call-parser", model["tool_parser"]]
    if model.get("reasoning_parser"):
        words += ["--reasoning-parser", model["reasoning_parser"]]
    # Without it, vLLM breaks off what runs when it is told to end. With what comes before, within the pod's grace.
    words += ["--enable-prefix-caching", "--shutdown-timeout", str(_DRAIN_S)]
    return [*words, *map(str, model.get("arguments", []))]


def resources(model: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Cards come whole: as many are asked for as may be used."""
    cards = int(model.get("cards", 1))
    card = {model.get("card", _CARD): str(cards)} if cards else {}
    memory = {"memory": model.get("memory", "32Gi")}
    return {"requests": {"cpu": str(model.get("cpu", 4)), **memory, **card}, "limits": {**memory, **card}}


def picker_arguments(model: Mapping[str, Any], namespace: str) -> list[str]:
    """Of the endpoint picker. Its metrics need no account of the cluster's; nobody reaches them (network.yaml.j2)."""
    return [
        *("--pool-name", f"gridtie-{model['name']}", "--pool-namespace", namespace),
        *("--pool-group", "inference.networking.k8s.io", "--config-file", "/config/picker.yaml"),
        *("--zap-encoder", "json", "--v", "1", "--tracing=false", "--metrics-endpoint-auth=false"),
    ]


def placed(manifests: Sequence[dict[str, Any]], namespace: str) -> list[dict[str, Any]]:
    """With the namespace, where none is said: what is applied by hand goes to the same place."""
    return [{**each, "metadata": {"namespace": namespace, **each["metadata"]}} for each in manifests if each]


def secret_items(names: Sequence[str]) -> list[dict[str, str]]:
    """Where the routers look for each."""
    return [{"key": name, "path": name if name == "keys.json" else f"secrets/{name}"} for name in names]


def secret_data(secrets: Mapping[str, Any]) -> dict[str, str]:
    """As a Secret has it. Raises an error that names what is no text, and says nothing of it."""
    for name, value in secrets.items():
        if not isinstance(value, str):
            raise AnsibleFilterError(f"gridtie_cluster_secrets: {name} is {type(value).__name__}; wanted: its text")
    return {name: base64.b64encode(value.encode()).decode() for name, value in secrets.items()}


def superfluous(found: Sequence[Mapping[str, Any]], manifests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was made by earlier runs, and is in no manifest any more."""
    wanted = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    return [
        {
            "api_version": each["apiVersion"],
            "kind": each["kind"],
            "name": each["metadata"]["name"],
            "namespace": each["metadata"]["namespace"],
        }
        for each in found
        if (each["kind"], each["metadata"]["name"]) not in wanted
    ]


# Of each kind the condition that says that it works; None where the community's module knows by itself.
_AWAITED: Mapping[str, dict[str, str] | None] = {
    "StatefulSet": None,
    "Deployment": None,
    "Gateway": {"type": "Programmed", "status": "True"},
}


def awaited(manifests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What has to run, and how one sees that it does."""
    return [
        {
            "api_version": each["apiVersion"],
            "kind": each["kind"],
            "name": each["metadata"]["name"],
            "namespace": each["metadata"]["namespace"],
            **({"condition": _AWAITED[each["kind"]]} if _AWAITED[each["kind"]] else {}),
        }
        for each in manifests
        if each["kind"] in _AWAITED
    ]


def named(item: Mapping[str, Any]) -> str:
    """As people write it."""
    return f"{item['kind']} {item['name']}"


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {
            "gridtie_cluster_arguments": arguments,
            "gridtie_cluster_resources": resources,
            "gridtie_cluster_picker_arguments": picker_arguments,
            "gridtie_cluster_placed": placed,
            "gridtie_cluster_secret_names": checks.secret_names,
            "gridtie_cluster_secret_items": secret_items,
            "gridtie_cluster_secret_data": secret_data,
            "gridtie_cluster_superfluous": superfluous,
            "gridtie_cluster_awaited": awaited,
            "gridtie_cluster_named": named,
            "gridtie_cluster_problems": checks.of_settings,
            "gridtie_cluster_lacks": checks.of_cluster,
            "gridtie_cluster_refusals": checks.refusals,
            "gridtie_cluster_notices": checks.notices,
        }
