"""What the role `cluster` writes: rendered by the playbook, with the shipped inventory, and no cluster asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "@sha256:" + "1" * 64
MODEL = {"served": "Qwen/Coder", "source": "hf.co/Qwen/Coder", "revision": "1" * 40}
GIVEN: dict[str, Any] = {
    "gridtie_cluster_router_image": f"registry.example/router{DIGEST}",
    "gridtie_cluster_picker_image": f"registry.example/epp{DIGEST}",
    "gridtie_cluster_vllm_image": f"registry.example/vllm{DIGEST}",
    "gridtie_cluster_secrets": {"keys.json": "{}", "database": "postgresql://u:geheim@db/x", "hub": "geheim"},
    "gridtie_cluster_hub_token": "hub",
    "gridtie_cluster_pull_secrets": ["registry"],
    "gridtie_cluster_models": [
        {**MODEL, "name": "coder", "replicas": 2, "cards": 2},
        {"name": "small", "served": "small", "claim": "checkpoints", "path": "small", "cards": 0},
    ],
}


def rendered(directory: Path, **changed: Any) -> str:
    """The manifests as text."""
    (directory / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    place = {"gridtie_cluster_rendered": str(directory), "gridtie_cluster_ca_file": str(directory / "ca.pem")}
    command = [Path(sys.executable).with_name("ansible-playbook"), "playbooks/cluster.yml", "-i", "inventories/cluster"]
    done = subprocess.run(
        [*command, "-e", json.dumps({**GIVEN, **place, **changed})],
        cwd=ROOT,
        env={**os.environ, "HOME": str(directory), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (directory / "gridtie.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return rendered(tmp_path_factory.mktemp("rendered"))


@pytest.fixture(scope="module")
def manifests(text: str) -> list[Any]:
    return [each for each in yaml.safe_load_all(text) if each]


def of_kind(manifests: list[Any], kind: str) -> dict[str, Any]:
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def workloads(manifests: list[Any]) -> Iterator[tuple[str, Any]]:
    """What makes pods: its name and the pods' template."""
    for each in manifests:
        if each["kind"] in ("Deployment", "StatefulSet"):
            yield each["metadata"]["name"], each["spec"]["template"]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


def test_there_is_a_workload_for_routers_and_for_each_model_and_its_picker(manifests: list[Any]) -> None:
    names = {name for name, _ in workloads(manifests)}

    assert names == {
        *("gridtie-router", "gridtie-coder", "gridtie-small", "gridtie-picker-coder", "gridtie-picker-small"),
    }


def test_every_image_has_a_digest(manifests: list[Any]) -> None:
    images = [
        container["image"]
        for _, pod in workloads(manifests)
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    ]

    assert len(images) == 5
    assert [image for image in images if not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", image)] == []


def test_every_pod_keeps_to_the_restricted_standard_with_a_root_that_is_only_read(manifests: list[Any]) -> None:
    for name, pod in workloads(manifests):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        allowed = {"name", "emptyDir", "projected", "configMap", "persistentVolumeClaim"}
        assert {key for volume in spec["volumes"] for key in volume} <= allowed, name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_the_namespace_enforces_it(manifests: list[Any]) -> None:
    namespaces = of_kind(manifests, "Namespace")

    standard = {
        name: each["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for name, each in namespaces.items()
    }
    assert standard == {"gridtie": "restricted", "gridtie-gateway": "baseline"}


def test_only_the_picker_has_a_token_of_the_cluster(manifests: list[Any]) -> None:
    holders = {name for name, pod in workloads(manifests) if pod["spec"]["automountServiceAccountToken"]}

    assert holders == {"gridtie-picker-coder", "gridtie-picker-small"}
    (role,) = of_kind(manifests, "Role").values()
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert "secrets" not in {resource for rule in role["rules"] for resource in rule["resources"]}


def test_nothing_is_reached_but_what_a_policy_opens(manifests: list[Any]) -> None:
    policies = [each for each in manifests if each["kind"] == "NetworkPolicy"]
    closed = of_kind(policies, "NetworkPolicy")["gridtie-closed"]["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    for name, pod in workloads(manifests):
        labels = pod["metadata"]["labels"]
        opened = [
            port["port"]
            for policy in policies
            if selects(policy["spec"]["podSelector"], labels)
            for rule in policy["spec"].get("ingress", [])
            if policy["metadata"]["namespace"] == "gridtie"
            for port in rule["ports"]
        ]
        assert len(opened) == 1, name
        assert all(rule["from"] for policy in policies for rule in policy["spec"].get("ingress", []))


def test_models_are_asked_by_the_gateway_and_the_picker_alone(manifests: list[Any]) -> None:
    (rule,) = of_kind(manifests, "NetworkPolicy")["gridtie-model"]["spec"]["ingress"]

    gateway, picker = rule["from"]
    assert gateway == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gridtie-gateway"}}}
    assert picker["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "picker"


def test_who_may_ask_the_routers_is_the_inventorys(manifests: list[Any]) -> None:
    (rule,) = of_kind(manifests, "NetworkPolicy")["gridtie-router"]["spec"]["ingress"]

    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}}]


def test_of_everything_that_serves_one_pod_at_a_time_may_be_evicted(manifests: list[Any]) -> None:
    budgets = [each["spec"] for each in manifests if each["kind"] == "PodDisruptionBudget"]

    for name, pod in workloads(manifests):
        if "picker" not in name:
            (budget,) = (each for each in budgets if selects(each["selector"], pod["metadata"]["labels"]))
            assert budget["maxUnavailable"] == 1


def test_routers_are_scaled_between_two_numbers_and_their_number_is_nobody_elses(manifests: list[Any]) -> None:
    scaler = of_kind(manifests, "HorizontalPodAutoscaler")["gridtie-router"]["spec"]

    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 4)
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "gridtie-router"}
    assert "replicas" not in of_kind(manifests, "StatefulSet")["gridtie-router"]["spec"]


def test_selectors_select_their_own_pods_and_nobody_elses(manifests: list[Any]) -> None:
    pods = {name: pod["metadata"]["labels"] for name, pod in workloads(manifests)}
    pools = of_kind(manifests, "InferencePool")

    for name, each in {**of_kind(manifests, "Deployment"), **of_kind(manifests, "StatefulSet")}.items():
        assert [other for other, labels in pods.items() if selects(each["spec"]["selector"], labels)] == [name]
    for name, pool in pools.items():
        assert [other for other, labels in pods.items() if selects(pool["spec"]["selector"], labels)] == [name]


def test_each_pool_has_its_picker_and_its_route(manifests: list[Any]) -> None:
    services, routes = of_kind(manifests, "Service"), of_kind(manifests, "HTTPRoute")

    for name, pool in of_kind(manifests, "InferencePool").items():
        reference, (rule,) = pool["spec"]["endpointPickerRef"], routes[name]["spec"]["rules"]
        assert reference["port"]["number"] in [port["port"] for port in services[reference["name"]]["spec"]["ports"]]
        assert rule["backendRefs"] == [{"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": name}]
        assert rule["matches"][0]["path"]["value"] == f"/{name.removeprefix('gridtie-')}"


def test_a_router_keeps_its_journal_and_finds_its_files(manifests: list[Any]) -> None:
    routers = of_kind(manifests, "StatefulSet")["gridtie-router"]["spec"]
    (container,) = routers["template"]["spec"]["containers"]
    (configuration,) = (each for each in routers["template"]["spec"]["volumes"] if each["name"] == "configuration")

    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts["state"] == "/var/lib/gridtie"
    assert [each["metadata"]["name"] for each in routers["volumeClaimTemplates"]] == ["state"]
    _, secret = configuration["projected"]["sources"]
    assert secret["secret"]["items"] == [
        {"key": "database", "path": "secrets/database"},
        {"key": "keys.json", "path": "keys.json"},
    ]


def test_cards_are_asked_for_whole_and_a_claim_is_only_read(manifests: list[Any]) -> None:
    deployments = of_kind(manifests, "Deployment")
    coder, small = (deployments[f"gridtie-{name}"]["spec"]["template"]["spec"] for name in ("coder", "small"))

    assert coder["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    (claim,) = (each["persistentVolumeClaim"] for each in small["volumes"] if "persistentVolumeClaim" in each)
    assert claim == {"claimName": "checkpoints", "readOnly": True}
    assert {"name": "HF_HUB_OFFLINE", "value": "1"} in small["containers"][0]["env"]


def test_a_server_that_goes_has_time_for_its_answers_within_the_grace_of_its_pod(manifests: list[Any]) -> None:
    """vLLM's own default is none."""
    spec = of_kind(manifests, "Deployment")["gridtie-coder"]["spec"]["template"]["spec"]
    words = spec["containers"][0]["args"]

    before = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = int(words[words.index("--shutdown-timeout") + 1])
    assert drain >= 240
    assert before + drain < spec["terminationGracePeriodSeconds"]


def test_no_secret_is_written(text: str, manifests: list[Any]) -> None:
    assert "geheim" not in text
    assert of_kind(manifests, "Secret") == {}


def test_routers_alone_need_no_gateway_and_the_same_number_no_scaler(tmp_path: Path) -> None:
    few = rendered(tmp_path, gridtie_cluster_models=[], gridtie_cluster_router_max=2, gridtie_cluster_public={})

    manifests = [each for each in yaml.safe_load_all(few) if each]
    kinds = {each["kind"] for each in manifests}
    assert not {"Gateway", "HTTPRoute", "InferencePool", "HorizontalPodAutoscaler"} & kinds
    assert of_kind(manifests, "StatefulSet")["gridtie-router"]["spec"]["replicas"] == 2
    assert "gridtie-gateway" in of_kind(manifests, "Namespace")


def test_istio_is_told_how_to_speak_to_the_picker(manifests: list[Any]) -> None:
    rule = of_kind(manifests, "DestinationRule")["gridtie-picker-coder"]

    assert rule["spec"]["host"] == "gridtie-picker-coder.gridtie.svc.cluster.local"
