"""A real Kubernetes API for tests, and what its controllers, scheduler and kubelets would do there."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from standins.process import free_port

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".cache" / "kubernetes"
ADMIN = "a-token-of-this-test"
# Two cores that do other work besides.
START_S = 120


@dataclass(frozen=True)
class Kubernetes:
    """An API server that runs, and its administrator's kubeconfig."""

    url: str
    kubeconfig: Path
    authority: Path

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        """Status and answer of one request, with the administrator's token."""
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": kind}
        trusted = ssl.create_default_context(cafile=str(self.authority))
        content = None if body is None else json.dumps(body)
        with httpx.Client(verify=trusted, trust_env=False, timeout=30) as client:
            answer = client.request(method, f"{self.url}{path}", content=content, headers=headers)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status_code, answer.json() if is_json else answer.text

    def get(self, path: str) -> Any:
        """What is there; it has to be."""
        status, found = self.ask("GET", path)
        assert status == 200, found
        return found

    def made(self, path: str, body: Any) -> Any:
        """A new object; it has to be let in."""
        status, found = self.ask("POST", path, body)
        assert status in (200, 201), found
        return found

    def define_extensions(self) -> None:
        """The definitions of Gateway API and of its Inference Extension, as they are released."""
        for path in sorted((PLACE / "definitions").glob("*.yaml")):
            for each in yaml.safe_load_all(path.read_text()):
                if each and each["kind"] == "CustomResourceDefinition":
                    self.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", each)
        until(lambda: self.ask("GET", "/apis/inference.networking.k8s.io/v1/inferencepools")[0] == 200)
        until(lambda: self.ask("GET", "/apis/inference.networking.x-k8s.io/v1alpha2/inferenceobjectives")[0] == 200)
        until(lambda: self.ask("GET", "/apis/gateway.networking.k8s.io/v1/httproutes")[0] == 200)

    def pod_of(self, workload: Mapping[str, Any], name: str) -> Any:
        """A pod by the template of a Deployment or a StatefulSet, as its controller would make it."""
        template, namespace = workload["spec"]["template"], workload["metadata"]["namespace"]
        spec = dict(template["spec"])
        # Of a StatefulSet's claims its controller makes a volume each.
        claims = workload["spec"].get("volumeClaimTemplates", [])
        spec["volumes"] = [
            *spec.get("volumes", []),
            *(
                {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
                for claim in claims
            ),
        ]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": template["metadata"]["labels"]},
            "spec": spec,
        }
        return self.made(f"/api/v1/namespaces/{namespace}/pods", body)

    def runs(self, namespace: str, pod: str, address: str, *, ready: bool = True) -> None:
        """What a kubelet says of a pod."""
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/status"
        code, found = self.ask("PATCH", path, {"status": status}, "application/merge-patch+json")
        assert code == 200, found

    def kubeconfig_of(self, namespace: str, account: str, target: Path) -> Path:
        """A kubeconfig with a token of a service account: it may what the account may."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        return _kubeconfig(target, self.url, self.authority, self.made(path, body)["status"]["token"])


@contextmanager
def kubernetes(directory: Path) -> Iterator[Kubernetes]:
    """An API server with a store of its own, without any of the extensions."""
    if not (PLACE / "kube-apiserver").exists():
        pytest.fail("there is no Kubernetes API; run `make test PART=scale`, which compiles it", pytrace=False)
    with ExitStack() as stack:
        store, peers, port = (free_port() for _ in range(3))
        stack.enter_context(
            running(
                directory / "etcd.log",
                *(PLACE / "etcd", "--data-dir", directory / "etcd", "--unsafe-no-fsync"),
                *("--listen-client-urls", f"http://127.0.0.1:{store}"),
                *("--advertise-client-urls", f"http://127.0.0.1:{store}"),
                *("--listen-peer-urls", f"http://127.0.0.1:{peers}"),
            )
        )
        stack.enter_context(running(directory / "api.log", PLACE / "kube-apiserver", *_options(directory, store, port)))
        authority, url = directory / "certificates" / "apiserver.crt", f"https://127.0.0.1:{port}"
        api = Kubernetes(url, directory / "kubeconfig", authority)
        until(lambda: authority.exists() and _healthy(api), START_S, directory / "api.log")
        _kubeconfig(api.kubeconfig, url, authority, ADMIN)
        yield api


def _options(directory: Path, store: int, port: int) -> list[str | Path]:
    """Everything that is on in a cluster by default, and rights by roles."""
    key, tokens = directory / "accounts.key", directory / "tokens.csv"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    tokens.write_text(f"{ADMIN},admin,admin,system:masters\n")
    return [
        *("--etcd-servers", f"http://127.0.0.1:{store}"),
        *("--bind-address", "127.0.0.1", "--secure-port", str(port), "--cert-dir", directory / "certificates"),
        *("--service-cluster-ip-range", "10.7.0.0/24", "--authorization-mode", "RBAC", "--token-auth-file", tokens),
        *("--service-account-issuer", "https://kubernetes.default.svc"),
        *("--service-account-key-file", key, "--service-account-signing-key-file", key),
    ]


def _healthy(api: Kubernetes) -> bool:
    try:
        return api.ask("GET", "/readyz")[0] == 200
    except (httpx.HTTPError, ssl.SSLError):
        return False


def _kubeconfig(target: Path, url: str, authority: Path, token: str) -> Path:
    cluster = {"server": url, "certificate-authority-data": base64.b64encode(authority.read_bytes()).decode()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
    target.write_text(yaml.safe_dump(config))
    return target


@contextmanager
def running(log: Path, *command: str | Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program while the block runs, ended after it."""
    inherited = {"PATH": "/usr/bin:/bin", "HOME": str(log.parent)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=log.parent, env={**inherited, **environment}, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(true: Any, seconds: float = 60.0, log: Path | None = None) -> None:
    """Wait for something; where it does not come, show what was written meanwhile."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-4000:] if log else ""
            pytest.fail(f"it did not come within {seconds:.0f} s\n{said}", pytrace=False)
        time.sleep(0.2)


def remove(directory: Path) -> None:
    """The store of a server that has ended: some hundred megabytes."""
    shutil.rmtree(directory / "etcd", ignore_errors=True)
