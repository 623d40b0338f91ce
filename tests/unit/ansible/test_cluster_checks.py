"""What is told of an inventory and of a cluster before anything is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from plugins.filter.gridtie_cluster import arguments, resources, secret_data, secret_items, superfluous
from plugins.plugin_utils.gridtie_cluster import notices, of_cluster, of_settings, refusals, secret_names

DIGEST = "@sha256:" + "1" * 64
MODEL = {"name": "coder", "served": "Qwen/Coder", "source": "hf.co/Qwen/Coder", "revision": "1" * 40}
ROUTING = """
version: 1
providers:
  cluster: {type: openai, base_url: "http://gateway/coder/v1", locality: local}
  openai: {type: openai, base_url: "https://api.openai.com/v1", key_file: secrets/openai}
models:
  coder: {local: [cluster/Qwen/Coder], cloud: {provider: openai, model: gpt-5.4-mini}}
rules:
  - {name: all, use: [local, cloud]}
"""
APIS: dict[str, Any] = {
    "gateway.networking.k8s.io/v1": {"Gateway": {}, "HTTPRoute": {}, "GatewayClass": {}},
    "inference.networking.k8s.io/v1": {"InferencePool": {}},
    "inference.networking.x-k8s.io/v1alpha2": {"InferenceObjective": {}, "InferenceModelRewrite": {}},
    "metrics.k8s.io/v1beta1": {"PodMetrics": {}},
}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """Settings with which nothing is wrong."""
    for name, text in (("llm_routing.yaml", ROUTING), ("ca.pem", "")):
        (tmp_path / name).write_text(text)
    return {
        "namespace": "gridtie",
        "gateway_namespace": "gridtie-gateway",
        "router_image": f"registry.example/router{DIGEST}",
        "picker_image": f"registry.example/epp{DIGEST}",
        "vllm_image": f"registry.example/vllm{DIGEST}",
        "routing": str(tmp_path / "llm_routing.yaml"),
        "ca_file": str(tmp_path / "ca.pem"),
        "secrets": ["keys.json", "database", "openai"],
        "secret": "",
        "secret_names": [],
        "router_min": 2,
        "router_max": 4,
        "storage_class": "",
        "public": {},
        "gateway_class": "istio",
        "models": [MODEL],
        "hub_token": "",
    }


def cluster(**changes: Any) -> dict[str, Any]:
    """A cluster that lacks nothing, but for what is changed."""
    version = {"major": "1", "minor": "36+", "git_version": "v1.36.3"}
    classes = [{"name": "disks", "default": True}]
    found = {"version": version, "apis": APIS, "gateway_classes": ["istio"], "storage_classes": classes, "secret": None}
    return {**found, **changes}


def test_what_can_be_met_is_met(given: dict[str, Any]) -> None:
    assert of_settings(given) == []
    assert of_cluster(given, cluster()) == []
    assert notices(given, cluster()) == []


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("router_image", "", "gridtie_cluster_router_image is empty; wanted: NAME@sha256:DIGEST"),
        (
            "router_image",
            "registry.example/router:1.1",
            "`docker buildx imagetools inspect registry.example/router:1.1`",
        ),
        ("picker_image", "epp@sha256:12", "gridtie_cluster_picker_image is epp@sha256:12"),
        ("vllm_image", "vllm@sha256:" + "0" * 64, "still has the digest of the sample"),
        ("namespace", "Gridtie", "gridtie_cluster_namespace is 'Gridtie'"),
        ("gateway_namespace", "gridtie", "are both gridtie"),
        ("router_min", 0, "gridtie_cluster_router_min is 0"),
        ("router_max", 1, "gridtie_cluster_router_max 1"),
        ("public", {"gateway": "public"}, "wanted: gateway, namespace and hostnames"),
        ("gateway_class", "", "gridtie_cluster_gateway_class is empty"),
        ("routing", "/nowhere/llm_routing.yaml", "there is no such routing file"),
        ("ca_file", "", "gridtie_cluster_ca_file is empty, and none was found here"),
        ("secrets", ["keys.json", "openai"], "gridtie_cluster_secrets has no database"),
        ("secrets", ["database", "openai"], "gridtie_cluster_secrets has no keys.json"),
        ("secrets", ["keys.json", "database"], "what the routing file calls secrets/openai"),
        ("secrets", ["keys.json", "database", "openai", "../x"], "'../x' is no name of a file"),
        ("secret", "gridtie-from-vault", "are both given"),
        ("hub_token", "hub", "gridtie_cluster_secrets has no hub"),
    ],
)
def test_what_cannot_be_met_is_told_with_the_setting(
    given: dict[str, Any], setting: str, value: Any, told: str
) -> None:
    (problem,) = of_settings({**given, setting: value})

    assert told in problem


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "Coder"}, "name is 'Coder'"),
        ({"name": "a" * 41}, "wanted: small letters, digits and hyphens, at most 40"),
        ({"served": ""}, "served is missing"),
        ({"source": ""}, "either source"),
        ({"claim": "models"}, "either source"),
        ({"source": "/models/coder"}, "source is /models/coder; wanted: hf.co/OWNER/REPOSITORY"),
        ({"revision": "main"}, "a branch can become another model"),
        ({"revision": "0" * 40}, "revision is still that of the sample"),
        ({"replica": 2}, "nothing is called replica; there are name, served"),
        ({"replicas": "2"}, "replicas is str"),
        ({"image": "vllm:latest"}, "image of coder is vllm:latest"),
    ],
)
def test_a_model_that_cannot_be_served_is_told(given: dict[str, Any], change: dict[str, Any], told: str) -> None:
    (problem,) = of_settings({**given, "models": [{**MODEL, **change}]})

    assert told in problem


def test_two_models_of_one_name_are_told(given: dict[str, Any]) -> None:
    (problem,) = of_settings({**given, "models": [MODEL, MODEL]})

    assert "gridtie_cluster_models[1]: there is another model with the name coder" in problem


def test_what_is_wrong_in_the_routing_file_is_told_with_its_line(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "llm_routing.yaml").write_text(ROUTING.replace("use: [local, cloud]", "use: [elsewhere]"))

    problems = of_settings(given)

    assert any(f"{tmp_path / 'llm_routing.yaml'}:9" in problem for problem in problems), problems


def test_a_pool_of_stations_is_told(given: dict[str, Any], tmp_path: Path) -> None:
    pool = ROUTING.replace("models:", "  pool: {type: pool}\nmodels:", 1)
    (tmp_path / "llm_routing.yaml").write_text(pool)

    (problem,) = of_settings(given)

    assert "provider pool is a pool of stations" in problem


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": {"major": "1", "minor": "29", "git_version": "v1.29.1"}}, "is Kubernetes v1.29.1; wanted: 1.30"),
        ({"version": {}}, "of an unknown version"),
        ({"gateway_classes": ["cilium"]}, "no GatewayClass istio; it has: cilium"),
        ({"storage_classes": []}, "no default StorageClass"),
        ({"storage_classes": [{"name": "disks", "default": False}]}, "gridtie_cluster_storage_class (disks)"),
        ({"apis": {**APIS, "inference.networking.k8s.io/v1": {}}}, "does not serve InferencePool of inference."),
        ({"apis": {}}, "kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/"),
    ],
)
def test_what_a_cluster_lacks_is_told(given: dict[str, Any], change: dict[str, Any], told: str) -> None:
    problems = of_cluster(given, cluster(**change))

    assert any(told in problem for problem in problems), problems


def test_definitions_that_are_not_there_are_told_with_the_command_that_installs_them(given: dict[str, Any]) -> None:
    gateway, extension = of_cluster(given, cluster(apis={}))

    assert "Gateway of gateway.networking.k8s.io/v1, HTTPRoute" in gateway
    assert "InferencePool of inference.networking.k8s.io/v1, InferenceObjective" in extension
    assert "gateway-api-inference-extension/releases/download/v1.5.0/manifests.yaml" in extension


def test_routers_alone_need_no_extension(given: dict[str, Any]) -> None:
    assert of_cluster({**given, "models": []}, cluster(apis={}, gateway_classes=[])) == []


def test_a_storage_class_that_is_not_there_is_told(given: dict[str, Any]) -> None:
    (problem,) = of_cluster({**given, "storage_class": "fast"}, cluster())

    assert "no StorageClass fast; it has: disks" in problem


@pytest.mark.parametrize(
    ("there", "told"),
    [(None, "has no Secret vault"), (["keys.json", "openai"], "the Secret vault has no database; add it there")],
)
def test_a_secret_that_somebody_else_makes_has_to_be_there_and_whole(
    given: dict[str, Any], there: list[str] | None, told: str
) -> None:
    (problem,) = of_cluster({**given, "secrets": [], "secret": "vault"}, cluster(secret=there))

    assert told in problem


def test_without_metrics_it_is_told_that_nothing_scales(given: dict[str, Any]) -> None:
    (notice,) = notices(given, cluster(apis={}))

    assert "metrics-server does): there stay 2 routers" in notice
    assert notices({**given, "router_max": 2}, cluster(apis={})) == []


def test_a_token_of_the_hub_is_no_file_of_the_routers(given: dict[str, Any]) -> None:
    hub = {**given, "secrets": [*given["secrets"], "hub"], "hub_token": "hub"}

    assert secret_names(hub) == ["database", "keys.json", "openai"]
    assert secret_items(["database", "keys.json"]) == [
        {"key": "database", "path": "secrets/database"},
        {"key": "keys.json", "path": "keys.json"},
    ]


def test_a_secret_that_is_no_text_is_told_and_not_shown() -> None:
    with pytest.raises(Exception, match=r"keys\.json is dict; wanted: its text") as caught:
        secret_data({"keys.json": {"keys": ["hidden"]}})

    assert "hidden" not in str(caught.value)


def test_vllm_is_started_with_a_commit_and_without_code_of_the_models() -> None:
    words = arguments({**MODEL, "cards": 2, "context": 8192, "tool_parser": "hermes"}, 8000)

    said = " ".join(words)
    assert f"--model Qwen/Coder --served-model-name Qwen/Coder --revision {'1' * 40}" in said
    assert "--load-format safetensors --max-model-len 8192" in said
    assert "--tensor-parallel-size 2 --gpu-memory-utilization 0.9" in said
    assert "--enable-auto-tool-choice --tool-call-parser hermes" in said
    assert "--trust-remote-code" not in words


def test_a_checkpoint_of_a_volume_is_served_from_there_and_without_cards_on_the_processor() -> None:
    model = {"name": "small", "served": "small", "claim": "models", "path": "smollm2", "cards": 0}

    words = arguments(model, 8000)

    assert words[words.index("--model") + 1] == "/models/smollm2"
    assert "--enforce-eager" in words
    assert "--revision" not in words
    assert "nvidia.com/gpu" not in resources(model)["limits"]
    assert resources({**model, "cards": 2})["limits"]["nvidia.com/gpu"] == "2"


def test_what_is_in_no_manifest_any_more_is_superfluous() -> None:
    def thing(kind: str, name: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "gridtie"}}

    found = superfluous([thing("Service", "a"), thing("Service", "b")], [thing("Service", "a"), thing("Pod", "b")])

    assert found == [{"api_version": "v1", "kind": "Service", "name": "b", "namespace": "gridtie"}]


def test_what_the_cluster_would_refuse_is_named_with_its_reason() -> None:
    """As kubernetes.core 6 gives it: a result for each manifest, the API's answer as bytes of Python."""
    manifests = [{"kind": "Service", "metadata": {"name": "a"}}, {"kind": "Deployment", "metadata": {"name": "b"}}]
    answer = json.dumps({"kind": "Status", "message": 'conflict with "ann": .spec.replicas', "code": 409}).encode()
    error = {"msg": f"Failed to apply object: {answer!r}", "reason": "Conflict"}
    taken = {"changed": False, "result": {"kind": "Service"}}

    tried = {"result": {"results": [taken, {"changed": False, "result": {}, "error": error}]}}

    assert refusals(manifests, tried) == ['Deployment b: conflict with "ann": .spec.replicas']
    assert refusals(manifests, {"result": {"results": [taken, taken]}}) == []
    assert refusals(manifests, {"msg": "cannot connect"}) == ["cannot connect"]
    assert refusals(manifests[1:], {"error": {"msg": "it is forbidden"}}) == ["Deployment b: it is forbidden"]
