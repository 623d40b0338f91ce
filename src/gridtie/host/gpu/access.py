"""How programs and containers reach a card: device nodes, the container toolkit, CDI, packages that are held."""

from __future__ import annotations

import grp
import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .tree import names, text

# Where the Container Device Interface looks, in the order of precedence of its specification.
CDI_DIRECTORIES = ("etc/cdi", "var/run/cdi", "run/cdi")
_CDI_KIND = re.compile(r"""["']?kind["']?\s*:\s*["']?nvidia\.com/gpu\b""")
_REFRESH_UNITS = ("nvidia-cdi-refresh.path", "nvidia-cdi-refresh.service")
_UNIT_DIRECTORIES = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")


@dataclass(frozen=True)
class Node:
    """A device node, with the group that may use it and whether everybody may."""

    path: str
    gid: int = 0
    group: str = ""
    world: bool = False


@dataclass(frozen=True)
class Access:
    """The ways to a card. Paths are those of the machine, beginning with a slash."""

    nodes: tuple[Node, ...] = ()
    # The toolkit's command, and its version where dpkg knows it.
    toolkit: bool = False
    toolkit_version: str = ""
    # CDI specifications that name NVIDIA's GPUs, and whether a unit of the toolkit keeps them fresh.
    cdi: tuple[str, ...] = ()
    cdi_refresh: bool = False
    # What /etc/docker/daemon.json says: the runtime is known; it is the default (never set from here).
    docker_runtime: bool = False
    docker_default_runtime: str = ""
    # Whether it switches CDI on: needed by Docker 25.0 to 28.1.
    docker_cdi: bool = False
    # Packages of drivers that apt may not touch.
    held: tuple[str, ...] = ()
    # Installed driver packages of dpkg, name to version.
    packages: tuple[tuple[str, str], ...] = ()
    # Mesa's Vulkan drivers for the host's own programs.
    vulkan_driver: bool = False

    def node(self, path: str) -> bool:
        """Whether there is a device node."""
        return any(node.path == path for node in self.nodes)

    @property
    def render_nodes(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.path.startswith("/dev/dri/renderD"))


_NODES = re.compile(r"nvidia(\d+|ctl|-uvm)|kfd|dxg|nvhost-gpu")
# Paragraphs of dpkg's status file about packages of drivers. Reading all of it would cost a third of a second.
_PACKAGES = re.compile(
    r"^Package: ((?:lib)?nvidia\S*|libcuda\d\S*|cuda-drivers\S*|linux-(?:modules|objects|signatures)-nvidia\S*)\n"
    r"(.*?)(?=^Package: |\Z)",
    re.M | re.S,
)


def read_access(root: Path) -> Access:
    """The ways to a card below `root`."""
    packages = driver_packages(root)
    daemon = _daemon(root)
    return Access(
        nodes=_nodes(root),
        toolkit=(root / "usr/bin/nvidia-ctk").exists(),
        toolkit_version=packages.get("nvidia-container-toolkit", ("", ""))[1],
        cdi=_cdi(root),
        cdi_refresh=any((root / place / unit).exists() for place in _UNIT_DIRECTORIES for unit in _REFRESH_UNITS),
        docker_runtime="nvidia" in (daemon.get("runtimes") or {}),
        docker_cdi=(daemon.get("features") or {}).get("cdi") is True,
        docker_default_runtime=str(daemon.get("default-runtime") or ""),
        held=tuple(sorted(name for name, (state, _) in packages.items() if state == "hold")),
        packages=tuple(sorted((name, version) for name, (_, version) in packages.items())),
        vulkan_driver=bool(names(root / "usr/share/vulkan/icd.d") or names(root / "etc/vulkan/icd.d")),
    )


def _nodes(root: Path) -> tuple[Node, ...]:
    paths = [f"dev/{name}" for name in names(root / "dev") if _NODES.fullmatch(name)]
    paths += [f"dev/dri/{name}" for name in names(root / "dev/dri") if name.startswith(("card", "renderD"))]
    return tuple(_node(root, path) for path in paths)


def _node(root: Path, path: str) -> Node:
    found = (root / path).stat()
    # A recorded tree has no device nodes: their owner and mode say nothing.
    if not stat.S_ISCHR(found.st_mode):
        return Node(f"/{path}")
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = ""
    return Node(f"/{path}", found.st_gid, group, bool(found.st_mode & 0o006))


def _cdi(root: Path) -> tuple[str, ...]:
    found = [
        f"/{directory}/{name}"
        for directory in CDI_DIRECTORIES
        for name in names(root / directory)
        if name.endswith((".yaml", ".yml", ".json")) and _CDI_KIND.search(text(root / directory / name))
    ]
    # /var/run is a link to /run.
    return tuple(path for path in found if not (path.startswith("/run/") and f"/var{path}" in found))


def _daemon(root: Path) -> dict[str, Any]:
    try:
        found = json.loads(text(root / "etc/docker/daemon.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def driver_packages(root: Path) -> dict[str, tuple[str, str]]:
    """Name -> (wanted state, version) of the drivers' packages that dpkg has installed."""
    found = {}
    for name, body in _PACKAGES.findall(text(root / "var/lib/dpkg/status")):
        fields = dict(line.split(": ", 1) for line in body.splitlines() if ": " in line and line[0] != " ")
        wanted, _, state = fields.get("Status", "").partition(" ok ")
        if state == "installed":
            found[name] = (wanted, fields.get("Version", ""))
    return found
