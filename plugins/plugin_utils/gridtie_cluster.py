"""What is wrong with the settings of a cluster, and with the cluster: before anything of it is changed. Pure."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .gridtie_collection import package

# A probe's Host header, `preStop.sleep`, and rules in the definitions of the extension.
_OLDEST = (1, 30)
# What has to be served beside Kubernetes itself, and the command that installs it.
_GATEWAY = "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.5.1/standard-install.yaml"
_EXTENSION = (
    "https://github.com/kubernetes-sigs/gateway-api-inference-extension/releases/download/v1.5.0/manifests.yaml"
)
_SERVED = (
    ("gateway.networking.k8s.io/v1", ("Gateway", "HTTPRoute"), "Gateway API", _GATEWAY),
    ("inference.networking.k8s.io/v1", ("InferencePool",), "Gateway API Inference Extension", _EXTENSION),
    (
        "inference.networking.x-k8s.io/v1alpha2",
        ("InferenceObjective", "InferenceModelRewrite"),
        "Gateway API Inference Extension",
        _EXTENSION,
    ),
)

_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
# What stands in the shipped inventory for a digest or a commit.
_SAMPLE = re.compile(r"0{40}")
# As a label of DNS; with what is put before a model's name it must not be longer than 63.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB = re.compile(r"hf\.co/[\w.-]+/[\w.-]+", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# Of a model's entry: what there may be, and of which type.
KNOWN: Mapping[str, type | tuple[type, ...]] = {
    "name": str,
    "served": str,
    "source": str,
    "revision": str,
    "claim": str,
    "path": str,
    "image": str,
    "replicas": int,
    "cards": int,
    "card": str,
    "context": int,
    "parallel": int,
    "gpu_memory_utilization": float,
    "tool_parser": str,
    "reasoning_parser": str,
    "arguments": list,
    "cache_gib": int,
    "cpu": (str, int),
    "memory": str,
    "disk": str,
    "shared_memory": str,
    "start_s": int,
    "node_selector": dict,
    "tolerations": list,
}
# Files that every router needs among the secrets.
NEEDED = ("keys.json", "database")


def of_settings(given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the inventory, each in a sentence that says what to do; nothing of a secret is in it."""
    return [
        *_namespaces(given),
        *_images(given),
        *_routers(given),
        *_models(given["models"]),
        *_gateways(given),
        *_routing(given),
        *_authorities(given["ca_file"]),
        *_secrets(given),
    ]


def of_cluster(given: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What a cluster lacks, as it answered: `version`, `apis` (by group and version the kinds), `gateway_classes`,
    `storage_classes` (`name`, `default`), and `secret`: the names in the Secret that was named; None where it is
    missing.
    """
    return [*_version(found["version"]), *_apis(given, found), *_storage(given, found), *_secret(given, found)]


def notices(given: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What does not stand in the way, and is worth to be known."""
    if int(given["router_max"]) > int(given["router_min"]) and "metrics.k8s.io/v1beta1" not in found["apis"]:
        return [
            f"nothing in the cluster serves metrics.k8s.io (metrics-server does): there stay {given['router_min']} "
            "routers until something does"
        ]
    return []


def secret_names(given: Mapping[str, Any]) -> list[str]:
    """The files of the routers that come out of a Secret, by its own names for them."""
    named = [*NEEDED, *_key_files(given["routing"]), *given["secrets"], *given["secret_names"]]
    return sorted({name for name in named if name != given["hub_token"] or name in _key_files(given["routing"])})


def _namespaces(given: Mapping[str, Any]) -> Iterator[str]:
    for setting in ("namespace", "gateway_namespace"):
        if not _LABEL.fullmatch(str(given[setting])):
            yield (
                f"gridtie_cluster_{setting} is {given[setting]!r}; wanted: at most 40 small letters, digits, hyphens"
            )
    if given["namespace"] == given["gateway_namespace"]:
        yield (
            f"gridtie_cluster_namespace and gridtie_cluster_gateway_namespace are both {given['namespace']}; wanted: "
            "two, since the gateway's pods are made by others and are held to less"
        )


def _images(given: Mapping[str, Any]) -> Iterator[str]:
    images = {"gridtie_cluster_router_image": given["router_image"]}
    if given["models"]:
        images["gridtie_cluster_picker_image"] = given["picker_image"]
    for model in given["models"]:
        if isinstance(model, Mapping) and "image" in model:
            images[f"gridtie_cluster_models: image of {model.get('name')}"] = model["image"]
        else:
            images["gridtie_cluster_vllm_image"] = given["vllm_image"]
    for setting, image in images.items():
        if not image:
            yield f"{setting} is empty; wanted: NAME@sha256:DIGEST (docs/cluster.md says where each comes from)"
        elif not _DIGEST.fullmatch(str(image)):
            yield (
                f"{setting} is {image}, and what has no digest can become another image; wanted: NAME@sha256:DIGEST, "
                f"which `docker buildx imagetools inspect {image}` shows"
            )
        elif _SAMPLE.search(str(image)):
            yield f"{setting} still has the digest of the sample, zeros; put that of your image there"


def _routers(given: Mapping[str, Any]) -> Iterator[str]:
    least, most = int(given["router_min"]), int(given["router_max"])
    if least < 1 or most < least:
        yield (
            f"gridtie_cluster_router_min is {least} and gridtie_cluster_router_max {most}; wanted: 1 or more, and no "
            "fewer at most than at least"
        )
    public = given["public"]
    if public and (set(public) != {"gateway", "namespace", "hostnames"} or not public.get("hostnames")):
        yield (
            f"gridtie_cluster_public has {', '.join(sorted(public))}; wanted: gateway, namespace and hostnames, "
            "of which there is at least one"
        )


def _models(models: Sequence[Any]) -> Iterator[str]:
    seen = set()
    for number, model in enumerate(models):
        where = f"gridtie_cluster_models[{number}]"
        if not isinstance(model, Mapping):
            yield f"{where} is no mapping; wanted: name, served, source and revision, or claim"
            continue
        yield from (f"{where}: {fault}" for fault in _model(model))
        if model.get("name") in seen:
            yield f"{where}: there is another model with the name {model['name']}; each needs its own"
        seen.add(model.get("name"))


def _model(model: Mapping[str, Any]) -> Iterator[str]:
    for key, value in model.items():
        if key not in KNOWN:
            yield f"nothing is called {key}; there are {', '.join(KNOWN)}"
        elif isinstance(value, bool) or not isinstance(value, (KNOWN[key], int) if KNOWN[key] is float else KNOWN[key]):
            yield f"{key} is {type(value).__name__}; docs/cluster.md has the type of each"
    if not _LABEL.fullmatch(str(model.get("name", ""))):
        yield f"name is {model.get('name', '')!r}; wanted: small letters, digits and hyphens, at most 40"
    if not model.get("served"):
        yield "served is missing; wanted: the name by which the routing file asks for it"
    if bool(model.get("source")) == bool(model.get("claim")):
        yield "wanted: either source (hf.co/OWNER/REPOSITORY) or claim (a PersistentVolumeClaim that has it)"
    elif model.get("source") and not _HUB.fullmatch(str(model["source"])):
        yield f"source is {model['source']}; wanted: hf.co/OWNER/REPOSITORY"
    elif model.get("source") and not _COMMIT.fullmatch(str(model.get("revision", ""))):
        yield (
            f"revision is {model.get('revision', '')!r}; wanted: a commit, 40 hexadecimal digits, since a branch can "
            "become another model"
        )
    elif _SAMPLE.fullmatch(str(model.get("revision", ""))):
        yield "revision is still that of the sample, zeros; put the commit of your checkpoint there"


def _gateways(given: Mapping[str, Any]) -> Iterator[str]:
    if given["models"] and not given["gateway_class"]:
        yield (
            "gridtie_cluster_gateway_class is empty; wanted: one that knows InferencePools, as `kubectl get "
            "gatewayclass` lists them"
        )


def _routing(given: Mapping[str, Any]) -> Iterator[str]:
    config, path = package("gridtie.config.load"), Path(given["routing"])
    if not path.is_file():
        yield f"{path}: there is no such routing file; correct gridtie_cluster_routing_file"
        return
    try:
        routing = config.load(path).routing
    except config.ConfigError as error:
        yield from (str(problem) for problem in error.problems)
        return
    for name, provider in routing.providers.items():
        if provider.type == "pool":
            yield f"{path}: provider {name} is a pool of stations, of which routers in a cluster know none; take it out"


def _authorities(path: str) -> Iterator[str]:
    if not Path(path).is_file():
        yield (
            f"gridtie_cluster_ca_file is {path or 'empty, and none was found here'}; wanted: a file with the "
            "authorities that routers trust, for clouds and the database"
        )


def _key_files(routing: str) -> list[str]:
    """Of the providers' key files those names that a Secret can have; none where the file is wrong, which is told."""
    config = package("gridtie.config.load")
    try:
        providers = config.load(Path(routing)).routing.providers.values()
    except (config.ConfigError, OSError):
        return []
    return [provider.key_file.removeprefix("secrets/") for provider in providers if provider.key_file]


def _secrets(given: Mapping[str, Any]) -> Iterator[str]:
    if given["secrets"] and given["secret"]:
        yield "gridtie_cluster_secrets and gridtie_cluster_secret are both given; wanted: values, or a Secret with them"
    for name in secret_names(given):
        if not _FILE.fullmatch(name):
            yield f"{name!r} is no name of a file below secrets/; wanted: letters, digits, dots and hyphens"
    if not given["secret"]:
        for name in [*secret_names(given), *([given["hub_token"]] if given["hub_token"] else [])]:
            if name not in given["secrets"]:
                yield (
                    f"gridtie_cluster_secrets has no {name}; wanted: {_what(name)} (a look-up in a vault, a file of "
                    "ansible-vault), or gridtie_cluster_secret with the name of a Secret that has it"
                )


def _what(name: str) -> str:
    if name == "keys.json":
        return "the file of the routers' keys"
    return "the URL of the database" if name == "database" else f"what the routing file calls secrets/{name}"


def _version(version: Mapping[str, Any]) -> Iterator[str]:
    numbers = [re.match(r"\d+", str(version.get(part, ""))) for part in ("major", "minor")]
    if not all(numbers) or tuple(int(each[0]) for each in numbers if each) < _OLDEST:
        yield (
            f"the cluster is Kubernetes {version.get('git_version') or 'of an unknown version'}; wanted: "
            f"{_OLDEST[0]}.{_OLDEST[1]} or later"
        )


def _apis(given: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    if not given["models"] and not given["public"]:
        return
    missing: dict[tuple[str, str], list[str]] = {}
    for group, kinds, name, source in _SERVED if given["models"] else _SERVED[:1]:
        lacks = [f"{kind} of {group}" for kind in kinds if kind not in found["apis"].get(group, {})]
        if lacks:
            missing.setdefault((name, source), []).extend(lacks)
    for (name, source), lacks in missing.items():
        yield (
            f"the cluster does not serve {', '.join(lacks)}: the definitions (CRDs) of {name} are not installed, or "
            f"older; kubectl apply --server-side -f {source}"
        )
    wanted = given["gateway_class"]
    if given["models"] and wanted and not missing and wanted not in found["gateway_classes"]:
        there = ", ".join(found["gateway_classes"]) or "none"
        yield (
            f"the cluster has no GatewayClass {wanted}; it has: {there}. Correct gridtie_cluster_gateway_class, or "
            "install a gateway that knows InferencePools"
        )


def _storage(given: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    names, wanted = [each["name"] for each in found["storage_classes"]], given["storage_class"]
    if wanted and wanted not in names:
        yield (
            f"the cluster has no StorageClass {wanted}; it has: {', '.join(names) or 'none'}. Correct "
            "gridtie_cluster_storage_class"
        )
    if not wanted and not any(each["default"] for each in found["storage_classes"]):
        yield (
            "the cluster has no default StorageClass, and each router keeps its journal on a volume; name one by "
            f"gridtie_cluster_storage_class ({', '.join(names) or 'there is none yet'})"
        )


def _secret(given: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    if not given["secret"]:
        return
    if found["secret"] is None:
        yield (
            f"namespace {given['namespace']} has no Secret {given['secret']} (gridtie_cluster_secret); make it there, "
            f"with {', '.join(secret_names(given))}"
        )
        return
    wanted = [*secret_names(given), *([given["hub_token"]] if given["hub_token"] else [])]
    if missing := [name for name in wanted if name not in found["secret"]]:
        yield f"the Secret {given['secret']} has no {', '.join(missing)}; add it there"


def refusals(manifests: Sequence[Mapping[str, Any]], tried: Mapping[str, Any]) -> list[str]:
    """What the cluster would refuse, and why in its own words; ``tried`` is what kubernetes.core.k8s came to with
    ``continue_on_error``, which gives a result for each manifest in their order.
    """
    results = (tried.get("result") or {}).get("results") or [tried]
    if len(results) != len(manifests):
        return [_told(str(tried.get("msg") or "the cluster gave no answer to some of it"))]
    return [
        f"{each['kind']} {each['metadata']['name']}: {_told(str(result['error'].get('msg', '')))}"
        for each, result in zip(manifests, results, strict=True)
        if result.get("error")
    ]


def _told(said: str) -> str:
    """The message of the API's own answer, which the module shows as bytes of Python; else all of it."""
    found = re.search(r"b'.*'|b\".*\"", said, re.DOTALL)
    try:
        return str(json.loads(ast.literal_eval(found[0]))["message"]) if found else said
    except (ValueError, SyntaxError, KeyError, TypeError):
        return said
