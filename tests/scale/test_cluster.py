"""The role `cluster` against a real Kubernetes API, the real endpoint picker over two real vLLM servers, a real router.

What a cluster has besides is done here by hand: pods are made by the templates of what was applied, and said to run at
addresses of loopback. In Envoy's place is a gateway of the tests' own, which asks the picker by Envoy's protocol.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from scale.conftest import CHECKPOINT
from scale.kubernetes_api import PLACE, Kubernetes, kubernetes, running, until
from standins.postgresql import Server, postgresql_server
from standins.process import free_port
from standins.router import KEY, ROOT

__all__ = ["postgresql_server"]

NAMESPACE = "gridtie"
ADDRESSES = ("127.1.0.1", "127.1.0.2")
PORT = 8000
DIGEST = "sha256:" + "1" * 64
CONTEXT, PARALLEL = 2048, 2
# Two of them at once, on two cores that do other work besides.
START_S = 1800
# The picker tells beginnings apart by blocks of some tokens.
LONG = "The quick brown fox jumps over the lazy dog. " * 30


@dataclass(frozen=True)
class Played:
    """What a run of the playbook came to."""

    status: int
    said: str

    @property
    def changed(self) -> int:
        """How many tasks changed something."""
        found = re.search(r"changed=(\d+)", self.said)
        assert found, self.said[-3000:]
        return int(found[1])


@dataclass(frozen=True)
class Applied:
    """A cluster after its first run: how it was asked for, and what came of it."""

    api: Kubernetes
    variables: dict[str, Any]
    gateway: int
    first: Played

    def play(self, *options: str, **changed: Any) -> Played:
        return play(self.api, {**self.variables, **changed}, *options)

    def get(self, path: str) -> Any:
        """Something of the namespace: group and version, where it is not of the core, kind and name."""
        *group, kind, name = path.split("/")
        prefix = f"/apis/{'/'.join(group)}" if group else "/api/v1"
        return self.api.get(f"{prefix}/namespaces/{NAMESPACE}/{kind}/{name}")


def play(api: Kubernetes, variables: dict[str, Any], *options: str) -> Played:
    """Run the playbook with the shipped inventory."""
    command = [
        *(Path(sys.executable).with_name("ansible-playbook"), "playbooks/cluster.yml", "-i", "inventories/cluster"),
        *("-e", json.dumps({"gridtie_cluster_kubeconfig": str(api.kubeconfig), **variables}), "-v", *options),
    ]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "LC_ALL": "C.UTF-8",
        "HOME": str(api.kubeconfig.parent),
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return Played(done.returncode, done.stdout + done.stderr)


def asked_for(directory: Path, gateway: int, database: str) -> dict[str, Any]:
    """What replaces the sample's values: one model of two servers, from a volume, on the processor."""
    routing = yaml.safe_load((ROOT / "inventories" / "cluster" / "llm_routing.yaml").read_text())
    routing["providers"]["cluster"]["base_url"] = f"http://127.0.0.1:{gateway}/small/v1"
    routing["models"]["coder"]["local"] = ["cluster/small"]
    (directory / "llm_routing.yaml").write_text(yaml.safe_dump(routing))
    row = {
        "name": "ann",
        "sha256": hashlib.sha256(KEY.encode()).hexdigest(),
        "environments": ["dev"],
        "admin": True,
    }
    return {
        "gridtie_cluster_router_image": f"registry.example/router@{DIGEST}",
        "gridtie_cluster_picker_image": f"registry.example/epp@{DIGEST}",
        "gridtie_cluster_vllm_image": f"registry.example/vllm@{DIGEST}",
        "gridtie_cluster_routing_file": str(directory / "llm_routing.yaml"),
        "gridtie_cluster_secrets": {"keys.json": json.dumps({"schema": 1, "keys": [row]}), "database": database},
        "gridtie_cluster_gateway_class": "tested",
        "gridtie_cluster_models": [
            {
                "name": "small",
                "served": "small",
                "claim": "checkpoints",
                "path": CHECKPOINT.name,
                "replicas": 2,
                "cards": 0,
                "cache_gib": 1,
                "context": CONTEXT,
                "parallel": PARALLEL,
            }
        ],
        # Nothing runs here by itself.
        "gridtie_cluster_wait_s": 0,
    }


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """A cluster without any of the extensions."""
    with kubernetes(tmp_path_factory.mktemp("bare")) as api:
        yield api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """A cluster with the extension, a class of storage and one of gateways."""
    with kubernetes(tmp_path_factory.mktemp("cluster")) as found:
        found.define_extensions()
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        found.made(
            "/apis/storage.k8s.io/v1/storageclasses",
            {"metadata": {"name": "disks", "annotations": default}, "provisioner": "example.com/disks"},
        )
        found.made(
            "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "GatewayClass",
                "metadata": {"name": "tested"},
                "spec": {"controllerName": "example.com/gateway"},
            },
        )
        yield found


@pytest.fixture(scope="module")
def applied(api: Kubernetes, postgresql_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Applied:
    """After the first run."""
    gateway = free_port()
    database = postgresql_server.make("cluster") + f"?sslrootcert={postgresql_server.ca}"
    variables = asked_for(tmp_path_factory.mktemp("inventory"), gateway, database)
    first = play(api, variables)
    assert first.status == 0, first.said[-6000:]
    return Applied(api, variables, gateway, first)


def test_a_cluster_without_the_definitions_is_told_before_anything_is_changed(bare: Kubernetes, tmp_path: Path) -> None:
    before = {each["metadata"]["name"] for each in bare.get("/api/v1/namespaces")["items"]}

    played = play(bare, asked_for(tmp_path, 1, "postgresql://station@127.0.0.1/x"))

    said = " ".join(played.said.split())
    assert played.status != 0
    assert "does not serve InferencePool of inference.networking.k8s.io/v1" in said, said[-4000:]
    assert "kubectl apply --server-side -f https://" in said
    assert "no default StorageClass" in said
    assert {each["metadata"]["name"] for each in bare.get("/api/v1/namespaces")["items"]} == before


def test_a_cluster_that_does_not_answer_is_told_with_the_setting(tmp_path: Path) -> None:
    config = {
        "clusters": [{"name": "gone", "cluster": {"server": f"https://127.0.0.1:{free_port()}"}}],
        "users": [{"name": "gone", "user": {"token": "x"}}],
        "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "gone"}}],
        "current-context": "gone",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    gone = Kubernetes("", tmp_path / "kubeconfig", tmp_path)

    played = play(gone, asked_for(tmp_path, 1, "postgresql://station@127.0.0.1/x"))

    said = " ".join(played.said.split())
    assert played.status != 0
    assert f"The cluster of {tmp_path / 'kubeconfig'}" in said, said[-4000:]
    assert "correct gridtie_cluster_kubeconfig" in said


def test_a_check_before_the_first_run_changes_nothing(bare: Kubernetes, tmp_path: Path) -> None:
    """Routers alone need none of the extensions."""
    wanted = {
        **asked_for(tmp_path, 1, "postgresql://station@127.0.0.1/x"),
        "gridtie_cluster_models": [],
        "gridtie_cluster_public": {},
        "gridtie_cluster_storage_class": "disks",
    }
    bare.ask(
        "POST",
        "/apis/storage.k8s.io/v1/storageclasses",
        {"metadata": {"name": "disks"}, "provisioner": "example.com/disks"},
    )

    played = play(bare, wanted, "--check", "--diff")

    assert played.status == 0, played.said[-4000:]
    assert bare.ask("GET", f"/api/v1/namespaces/{NAMESPACE}")[0] == 404


def test_a_second_run_finds_no_difference(applied: Applied) -> None:
    again = applied.play()

    assert again.status == 0, again.said[-4000:]
    assert again.changed == 0, again.said[-6000:]


def test_no_output_shows_a_secret(applied: Applied) -> None:
    password = applied.variables["gridtie_cluster_secrets"]["database"].split(":")[2].split("@")[0]

    changed = applied.play("--diff", gridtie_cluster_secrets={"keys.json": "{}", "database": "postgresql://other"})
    back = applied.play("--diff")

    assert back.status == 0, back.said[-4000:]
    for said in (applied.first.said, changed.said, back.said):
        assert password not in said
        assert base64.b64encode(b"postgresql://other").decode() not in said


def test_a_check_shows_the_difference_and_leaves_it(applied: Applied) -> None:
    played = applied.play("--check", "--diff", gridtie_cluster_router_max=9)

    assert played.status == 0, played.said[-4000:]
    assert re.search(r"\+.*maxReplicas.*9", played.said), played.said[-6000:]
    scaled = applied.get("autoscaling/v2/horizontalpodautoscalers/gridtie-router")
    assert scaled["spec"]["maxReplicas"] == 4


def test_every_manifest_is_taken_strictly_and_without_a_warning(applied: Applied, tmp_path: Path) -> None:
    """Unknown fields, fields that are there twice and what admission only warns of are faults here."""
    rendered = applied.play(gridtie_cluster_rendered=str(tmp_path))
    assert rendered.status == 0, rendered.said[-4000:]

    manifests = [each for each in yaml.safe_load_all((tmp_path / "gridtie.yaml").read_text()) if each]

    assert len(manifests) > 20
    for each in manifests:
        name = f"{each['kind']} {each['metadata']['name']}"
        status, found = strictly(applied.api, each)
        assert status == 200, f"{name}: {found}"


def strictly(api: Kubernetes, manifest: dict[str, Any]) -> tuple[int, Any]:
    """Server-side apply that changes nothing, with every field held to its schema."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    prefix = f"/apis/{group}/{version}" if group else f"/api/{version}"
    (resource,) = (
        each for each in api.get(prefix)["resources"] if each["kind"] == manifest["kind"] and "/" not in each["name"]
    )
    place = f"/namespaces/{manifest['metadata']['namespace']}" if resource["namespaced"] else ""
    query = "?fieldManager=gridtie&dryRun=All&fieldValidation=Strict"
    path = f"{prefix}{place}/{resource['name']}/{manifest['metadata']['name']}{query}"
    return api.ask("PATCH", path, manifest, "application/apply-patch+yaml")


def test_pods_of_every_template_are_let_in_where_one_that_may_be_root_is_not(applied: Applied, pods: None) -> None:
    """The namespace enforces the standard: two servers are there already."""
    routers = applied.get("apps/v1/statefulsets/gridtie-router")
    picker = applied.get("apps/v1/deployments/gridtie-picker-small")

    applied.api.pod_of(routers, "gridtie-router-0")
    applied.api.pod_of(picker, "gridtie-picker-small-0")

    spec = {"serviceAccountName": "gridtie-router", "containers": [{"name": "root", "image": "root"}]}
    refused = {"metadata": {"name": "root", "namespace": NAMESPACE}, "spec": spec}
    status, found = applied.api.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", refused)
    assert (status, "PodSecurity" in found["message"]) == (403, True)


def test_a_model_that_is_no_longer_named_goes_and_nothing_else_does(applied: Applied) -> None:
    (model,) = applied.variables["gridtie_cluster_models"]
    more = applied.play(gridtie_cluster_models=[model, {**model, "name": "other", "served": "other"}])
    assert more.status == 0, more.said[-4000:]
    assert applied.get("inference.networking.k8s.io/v1/inferencepools/gridtie-other")

    less = applied.play()

    assert less.status == 0, less.said[-4000:]
    for path in (
        "apis/inference.networking.k8s.io/v1/namespaces/gridtie/inferencepools",
        "apis/apps/v1/namespaces/gridtie/deployments",
        "apis/gateway.networking.k8s.io/v1/namespaces/gridtie/httproutes",
        "api/v1/namespaces/gridtie/services",
    ):
        names = {each["metadata"]["name"] for each in applied.api.get(f"/{path}")["items"]}
        assert not {name for name in names if name.endswith("other")}
        assert names


def test_a_field_that_somebody_else_changed_is_told_and_not_taken_over(applied: Applied) -> None:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/gridtie-small?fieldManager=ann&force=true"
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}}
    status, found = applied.api.ask("PATCH", path, body, "application/apply-patch+yaml")
    assert status == 200, found

    played = applied.play()
    forced = applied.play(gridtie_cluster_force=True)

    assert played.status != 0
    told = " ".join(re.sub(r'\\+"', '"', played.said).split())
    assert 'Deployment gridtie-small: Apply failed with 1 conflict: conflict with "ann": .spec.replicas' in told
    assert "gridtie_cluster_force: true" in told
    assert forced.status == 0, forced.said[-3000:]
    assert applied.get("apps/v1/deployments/gridtie-small")["spec"]["replicas"] == 2


@pytest.fixture(scope="module")
def pods(applied: Applied) -> None:
    """Two servers' pods, as the Deployment's controller and a kubelet would have them; they do not serve yet."""
    deployment = applied.get("apps/v1/deployments/gridtie-small")
    assert deployment["spec"]["replicas"] == len(ADDRESSES)
    for number, address in enumerate(ADDRESSES):
        applied.api.pod_of(deployment, f"gridtie-small-{number}")
        applied.api.runs(NAMESPACE, f"gridtie-small-{number}", address, ready=False)


@pytest.fixture(scope="module")
def servers(applied: Applied, pods: None, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two real vLLM, each started by its pod's own command and settings."""
    with ExitStack() as stack:
        for number, address in enumerate(ADDRESSES):
            container = applied.get(f"pods/gridtie-small-{number}")["spec"]["containers"][0]
            directory = tmp_path_factory.mktemp(f"server-{number}")
            words = [word.replace("0.0.0.0", address) for word in container["args"]]
            words = [word.replace("/models/", f"{CHECKPOINT.parent}/") for word in words]
            settings = {each["name"]: each["value"].replace("/cache", str(directory)) for each in container["env"]}
            # The image's own.
            settings["LD_PRELOAD"] = str(python.parents[1] / "lib" / "libiomp5.so")
            command = [python, *container["command"][1:], *words]
            stack.enter_context(running(directory / "vllm.log", *command, **settings))
        for number, address in enumerate(ADDRESSES):
            until(lambda at=address: answers(f"http://{at}:{PORT}/health"), START_S)
            applied.api.runs(NAMESPACE, f"gridtie-small-{number}", address)
        yield


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def gateway(applied: Applied, servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The picker with its pod's arguments and ConfigMap and its account's rights, and a gateway that asks it."""
    directory = tmp_path_factory.mktemp("picker")
    pod = applied.get("apps/v1/deployments/gridtie-picker-small")["spec"]["template"]["spec"]
    configuration = applied.get("configmaps/gridtie-picker")["data"]["picker.yaml"]
    (directory / "picker.yaml").write_text(configuration)
    kubeconfig = applied.api.kubeconfig_of(NAMESPACE, pod["serviceAccountName"], directory / "kubeconfig")
    ports = {name: free_port() for name in ("grpc-port", "grpc-health-port", "metrics-port")}
    words = [word.replace("/config/", f"{directory}/") for word in pod["containers"][0]["args"]]
    words += [word for name, port in ports.items() for word in (f"--{name}", str(port))]
    log, url = directory / "picker.log", f"http://127.0.0.1:{applied.gateway}/small"
    settings = {"KUBECONFIG": str(kubeconfig), "NAMESPACE": NAMESPACE, "POD_NAME": "gridtie-picker-small-0"}
    with ExitStack() as stack:
        stack.enter_context(running(log, PLACE / "epp", *words, **settings))
        listen, picker = f"127.0.0.1:{applied.gateway}", f"127.0.0.1:{ports['grpc-port']}"
        stack.enter_context(running(directory / "gateway.log", PLACE / "gateway", listen, picker, "small"))
        until(lambda: answers(f"{url}/v1/models"), 120, log)
        yield url


def asked(gateway: str, text: str, tokens: int = 4) -> str:
    """Which server the picker chose."""
    body = {"model": "small", "messages": [{"role": "user", "content": text}], "max_tokens": tokens}
    answered = httpx.post(f"{gateway}/v1/chat/completions", json=body, timeout=300, trust_env=False)
    assert answered.status_code == 200, answered.text
    return answered.headers["x-picked"].rpartition(":")[0]


def test_a_prefix_goes_where_it_was_read_before(gateway: str) -> None:
    """Of eight conversations each stays where it began, and not all began at the same."""
    begun = {number: asked(gateway, f"{number}: {LONG}") for number in range(8)}

    continued = {number: asked(gateway, f"{number}: {LONG} And then?") for number in range(8)}

    assert continued == begun
    assert set(begun.values()) == set(ADDRESSES)


def test_a_server_with_a_queue_is_not_chosen(gateway: str) -> None:
    """The picker reads vLLM's own figures."""
    busy, idle = ADDRESSES
    body = {"model": "small", "prompt": "Once upon a time", "max_tokens": 1500, "ignore_eos": True}
    ended = threading.Event()
    fillers = [threading.Thread(target=_fill, args=(busy, body, ended)) for _ in range(4 * PARALLEL)]
    for filler in fillers:
        filler.start()
    try:
        until(lambda: queued(busy) > PARALLEL, 120)
        # The picker asks every 50 ms; a loaded machine lets it wait.
        until(lambda: asked(gateway, "A short one.") == idle, 60)
        chosen = [asked(gateway, f"Number {number} is short.") for number in range(6)]
        assert queued(busy) > 0
    finally:
        ended.set()
        for filler in fillers:
            filler.join()

    assert chosen == [idle] * 6


def _fill(address: str, body: dict[str, Any], ended: threading.Event) -> None:
    """A long answer, until it is no longer wanted."""
    url = f"http://{address}:{PORT}/v1/completions"
    with httpx.stream("POST", url, json={**body, "stream": True}, timeout=300, trust_env=False) as answer:
        for _ in answer.iter_lines():
            if ended.is_set():
                return


def queued(address: str) -> float:
    return figure(address, "vllm:num_requests_waiting")


def figure(address: str, name: str) -> float:
    """The sum of one of vLLM's metrics."""
    said = httpx.get(f"http://{address}:{PORT}/metrics", timeout=30, trust_env=False).text
    return sum(float(line.rpartition(" ")[2]) for line in said.splitlines() if line.startswith(f"{name}{{"))


def test_a_server_that_is_not_ready_is_not_chosen_until_it_is(applied: Applied, gateway: str) -> None:
    gone, left = ADDRESSES
    applied.api.runs(NAMESPACE, "gridtie-small-0", gone, ready=False)
    try:
        until(lambda: asked(gateway, "Who is there?") == left)
        chosen = {asked(gateway, f"Who is there, {number}?") for number in range(6)}
    finally:
        applied.api.runs(NAMESPACE, "gridtie-small-0", gone)

    assert chosen == {left}
    until(lambda: gone in {asked(gateway, f"{os.urandom(8).hex()} is back?") for _ in range(4)})


def test_the_router_of_the_cluster_answers_through_the_endpoint_that_was_picked(
    applied: Applied, gateway: str, tmp_path: Path
) -> None:
    """Started by its pod's own settings, with the files that its volume has, over the database of its Secret."""
    pod = applied.get("apps/v1/statefulsets/gridtie-router")["spec"]["template"]["spec"]
    settings = {each["name"]: each.get("value", "") for each in pod["containers"][0]["env"]}
    port, configuration = free_port(), tmp_path / "etc"
    mount(applied, pod["volumes"], configuration)
    (tmp_path / "state").mkdir()
    settings |= {
        "GRIDTIE_LISTEN": f"127.0.0.1:{port}",
        "GRIDTIE_STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": str(ROOT / "src"),
    }
    places = {"/etc/gridtie-ca": str(tmp_path / "authorities"), "/etc/gridtie": str(configuration)}
    for place, here in places.items():
        settings = {
            name: value.replace(place, here) if value.startswith(place) else value for name, value in settings.items()
        }
    (tmp_path / "authorities").mkdir()
    (tmp_path / "authorities" / "bundle.crt").write_text(
        applied.get("configmaps/gridtie-authorities")["data"]["bundle.crt"]
    )
    before = {address: figure(address, "vllm:request_success_total") for address in ADDRESSES}
    log = tmp_path / "router.log"
    # As a program of the cluster asks: by the Service's name.
    headers = {"Host": "gridtie.gridtie.svc:8484", "Authorization": f"Bearer {KEY}"}
    url = f"http://127.0.0.1:{port}"
    body = {"model": "coder", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}

    with running(log, sys.executable, "-m", "gridtie.gateway.serve", **settings):
        until(lambda: answers(f"{url}/readyz"), 60, log)
        client = httpx.Client(trust_env=False, headers=headers, timeout=120)
        whole = client.post(f"{url}/v1/chat/completions", json=body)
        stream = client.post(f"{url}/v1/chat/completions", json={**body, "stream": True})
        assert whole.status_code == 200, whole.text
        row = client.get(f"{url}/gridtie/requests/{whole.headers['x-gridtie-request-id']}").json()
        elsewhere = client.get(f"{url}/v1/models", headers={"Host": "elsewhere.example"})

    assert whole.json()["choices"][0]["message"]["content"]
    assert stream.text.rstrip().endswith("data: [DONE]")
    usage = whole.json()["usage"]
    assert (row["input_tokens"], row["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    after = {address: figure(address, "vllm:request_success_total") for address in ADDRESSES}
    assert sum(after.values()) - sum(before.values()) == 2
    assert elsewhere.status_code == 421


def mount(applied: Applied, volumes: list[Any], target: Path) -> None:
    """What a kubelet puts into the directory of the configuration."""
    (volume,) = (each["projected"] for each in volumes if each["name"] == "configuration")
    (target / "secrets").mkdir(parents=True)
    for source in volume["sources"]:
        if "configMap" in source:
            for name, text in applied.get(f"configmaps/{source['configMap']['name']}")["data"].items():
                (target / name).write_text(text)
        else:
            data = applied.get(f"secrets/{source['secret']['name']}")["data"]
            for item in source["secret"]["items"]:
                (target / item["path"]).write_bytes(base64.b64decode(data[item["key"]]))


def test_what_does_not_come_to_run_is_named(applied: Applied) -> None:
    """No controller is here that could make it run."""
    played = applied.play(gridtie_cluster_wait_s=2)

    assert played.status != 0
    said = " ".join(played.said.split())
    assert "StatefulSet gridtie-router" in said
    assert "Gateway gridtie-models" in said
    assert "raise gridtie_cluster_wait_s" in said
