"""The engine, seen from where the router is: in a container it publishes no port that could be asked from here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Optional

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look
from gridtie.host.models.checkpoint_install import RECORD, digest_of
from gridtie.host.models.store import Store, StoreError, parse_manifest

# Files up to this size are hashed (about a second a GiB); larger ones only with --deep, else their size is compared.
HASH_BYTES = 1 << 30

_XLLAMACPP = (
    "import importlib.metadata, sys; sys.path.insert(0, '/opt/gridtie-engine/lib'); "
    "print(importlib.metadata.version('xllamacpp'))"
)


def reachable(look: Look) -> Finding:
    hops = look.engine_says["alive"]
    silent = [
        f"{hop.url}: {hop.body if hop.status == 0 else f'status {hop.status}'}" for hop in hops if hop.status != 200
    ]
    if silent:
        return bad("; ".join(silent), "status 200", f"see `{look.log}`; `make site` starts it again")
    return good(f"{', '.join(hop.url for hop in hops)} from {look.containers['router']}")


def version(look: Look) -> Finding:
    wanted = str(look.engine["version"])
    found = _VERSIONS.get(str(look.engine["kind"]), _embedded_version)(look)
    if found != wanted:
        fix = "looks at the service anew" if look.engine.get("adopted") else "brings the engine to the pinned version"
        return bad(found, wanted, f"run `make site`: it {fix}")
    return good(found, wanted)


def _ollama_version(look: Look) -> str:
    return str(json.loads(look.engine_says["alive"][0].body)["version"])


def _embedded_version(look: Look) -> str:
    ran = look.docker("exec", look.containers["engine"], "python3", "-I", "-c", _XLLAMACPP)
    return ran.out.strip() or ran.err.strip()[:200]


def _vllm_version(look: Look) -> str:
    hop = look.from_router([f"{look.models[0]['url']}/version"])[0]
    return str(json.loads(hop.body)["version"]) if hop.status == 200 else f"status {hop.status}"


def _router_version(look: Look) -> str:
    ran = look.docker("exec", look.containers["engine"], "python3", "-m", "gridtie_vllm_router", "version")
    return ran.out.strip() or ran.err.strip()[:200]


_VERSIONS = {"ollama": _ollama_version, "vllm": _vllm_version, "vllm_router": _router_version}


def offered(look: Look) -> Finding:
    if look.engine["kind"] == "vllm_router":
        return _members(look)
    wanted = {str(model["name"]) for model in look.models}
    ollama = look.engine["kind"] == "ollama"
    found: set[str] = set()
    for hop in look.engine_says["models"]:
        if hop.status != 200:
            return bad(
                f"{hop.url}: {hop.body if hop.status == 0 else f'status {hop.status}'}", "200", "run `make site`"
            )
        told = json.loads(hop.body)
        found |= {model["name"] for model in told["models"]} if ollama else {model["id"] for model in told["data"]}
    if missing := sorted(wanted - found):
        return bad(f"not offered: {', '.join(missing)}", ", ".join(sorted(wanted)), "run `make site`: it installs them")
    return good(", ".join(sorted(wanted)))


def _members(look: Look) -> Finding:
    """Of the stations that are asked, who answers: one that is drained or down fails nothing while another is well."""
    hop = look.engine_says["models"][0]
    if hop.status != 200:
        return bad(hop.body if hop.status == 0 else f"status {hop.status}", "200", "run `make site`")
    well = {str(each["url"]).rstrip("/"): bool(each["is_healthy"]) for each in json.loads(hop.body)["workers"]}
    named = {str(member["url"]).rstrip("/"): str(member["name"]) for member in look.station["pool"]}
    wanted = ", ".join(sorted(named.values()))
    up = sorted(name for url, name in named.items() if well.get(url))
    down = sorted(set(named.values()) - set(up))
    if not up:
        return bad("none of them answers", wanted, f"look at them: `gridtie doctor` there; `{look.log}` has why")
    return good(", ".join(up), wanted, f"not asked now, drained or down: {', '.join(down)}" if down else "")


def digests(look: Look) -> Finding:
    faults, read = [], 0
    if look.engine["kind"] == "vllm_router":
        return good("there are none here: the stations of the pool have theirs")
    if look.engine["kind"] == "vllm":
        return _checkpoints(look)
    for model in look.models:
        try:
            digest, files = _stored(look, model)
        except StoreError as error:
            digest, files = str(error), []
        if digest != model["digest"]:
            faults.append(f"{model['name']} is {digest}, recorded as {model['digest']}")
            continue
        faults += [f"{model['name']}: {fault}" for file in files if (fault := _fault(look, *file))]
        read += len(files)
    if faults:
        return bad("; ".join(faults), "the digests of station.json", "run `make site`: it fetches the models again")
    return good(f"{', '.join(model['name'] for model in look.models)}: {read} files are what was pinned")


def _checkpoints(look: Look) -> Finding:
    """What vLLM serves is a directory with a record of its files; what came in the image is the image's."""
    found, wrong = [], []
    for model in look.models:
        if not model.get("file"):
            found.append(f"{model['name']} is in the image")
            continue
        place = look.state_dir / "models" / str(model["file"])
        files = _taken(look, place)
        if digest_of(files) != model["digest"]:
            wrong.append(f"{model['name']} is not what was recorded: {place}")
        faults = (_fault(look, place / name, sha256, size) for name, (size, sha256) in files.items())
        wrong += [f"{model['name']}: {fault}" for fault in faults if fault]
        found.append(f"{model['name']}: {place}")
    if wrong:
        return bad("; ".join(wrong), "the digests of station.json", "run `make site`: it brings the checkpoint again")
    return good(", ".join(found))


def _taken(look: Look, place: Path) -> Mapping[str, Any]:
    """The files of a checkpoint with their lengths and hashes, by the record beside them; none without it."""
    try:
        return dict(json.loads(look.probe.read(place / RECORD))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


# Path, SHA-256 in hex, size in bytes.
File = tuple[Path, str, int]


def _stored(look: Look, model: Mapping[str, Any]) -> tuple[str, list[File]]:
    """What station.json should have recorded for a model, and the files that it stands for.

    Ollama's digest is the manifest's, which names every file; the embedded engine has only the file with the weights.
    """
    kind = look.engine["kind"]
    store = Store(look.store)
    manifest = parse_manifest(look.probe.read(store.manifest_path(model["name"])).encode())
    ollama = kind == "ollama"
    layers = manifest.blobs if ollama else (manifest.model,)
    files = [(store.blob(layer.digest), layer.digest.partition(":")[2], layer.size) for layer in layers]
    return manifest.digest if ollama else manifest.model.digest, files


def _fault(look: Look, path: Path, wanted: str, size: int) -> Optional[str]:
    found = look.probe.owned(path).size
    if found != size:
        return f"{path.name} has {found} bytes, {size} recorded"
    if (look.deep or size <= HASH_BYTES) and look.probe.sha256(path) != wanted:
        return f"{path.name} does not hold what its name says"
    return None


CHECKS = (
    Check("engine.reachable", "the router reaches the engine", reachable, needs=("containers.exist",)),
    Check("engine.version", "the engine has the pinned version", version, needs=("engine.reachable",)),
    Check("engine.models", "the engine offers every model of the station", offered, needs=("engine.reachable",)),
    Check("engine.digests", "the models on disk are the pinned ones", digests, needs=("config.station",)),
)
