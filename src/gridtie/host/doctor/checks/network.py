"""The station listens on loopback, and beyond it exactly where the inventory declares, with TLS."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look
from gridtie.host.machine.launchd import parse_lsof
from gridtie.host.paths import is_loopback

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# `st` of a listening socket in /proc/net/tcp (include/net/tcp_states.h, TCP_LISTEN).
_LISTEN = "0A"

# A run renews certificates a month before their end (gridtie_tls_renew_days); a week is time enough to ask why not.
_LEAST_DAYS = 7


def published(look: Look) -> Finding:
    wanted = sorted(look.station["expected"]["published_ports"])
    found = sorted(f"{host}:{port}" for role in look.containers for host, port in _bindings(look, role))
    if found != wanted:
        return bad(f"published: {', '.join(found) or 'nothing'}", ", ".join(wanted) or "nothing", "run `make site`")
    wide = [binding for binding in found if not is_loopback(binding.rpartition(":")[0].strip("[]"))]
    if undeclared := [binding for binding in wide if binding != _declared(look)]:
        return bad(f"published beyond loopback: {', '.join(undeclared)}", _wanted(look), "run `make site`")
    return good(f"{', '.join(found) or 'nothing'}; the engine publishes nothing", ", ".join(wanted) or "nothing")


def listening(look: Look) -> Finding:
    ports = {port for role in look.containers for _, port in _bindings(look, role)} | {_port(look.endpoint)}
    engine = {_port(model["url"]) for model in look.models if look.native}
    # An Ollama that was here before keeps its own address, which is told and not judged.
    ports |= set() if look.engine.get("adopted") else engine
    if _tls(look):
        ports.add(int(_tls(look)["port"]))
    wide = [(address, port) for address, port in _listeners(look) if port in ports and not address.is_loopback]
    if undeclared := [f"{address} port {port}" for address, port in wide if not _is_declared(look, address, port)]:
        tool = "lsof -nP -iTCP -sTCP:LISTEN" if look.probe.mac else "ss -ltnp"
        return bad(
            f"listening on {', '.join(undeclared)}", _wanted(look), f"find who listens with `{tool}`; run `make site`"
        )
    others = sorted({f"{address} port {port}" for address, port in _listeners(look) if port in engine - ports})
    kept = f"; {look.engine['unit']}, which was here before, on {', '.join(others)}" if others else ""
    return good(f"ports {', '.join(map(str, sorted(ports)))} listen on {_wanted(look)}{kept}")


def _port(url: str) -> int:
    return urllib.parse.urlsplit(url).port or 80


def secured(look: Look) -> Finding:
    tls = _tls(look)
    wanted = f"a certificate for {', '.join(tls.get('names') or ()) or 'nobody'}, good for {_LEAST_DAYS} days or more"
    if not tls:
        return good("no other machine is let in", "TLS wherever other machines are let in")
    address = ipaddress.ip_address(tls["address"])
    asked = ("::1" if address.version == 6 else "127.0.0.1") if address.is_unspecified else str(address)
    days = []
    for name in tls["names"]:
        try:
            ends = look.probe.certificate_ends(asked, int(tls["port"]), name, look.config_dir / "tls" / "server.pem")
        except OSError as error:
            reason = getattr(error, "verify_message", "") or str(error)
            return bad(
                f"{asked} port {tls['port']}, as {name}: {reason}", wanted, "run `make site`: it makes a new one"
            )
        days.append((ends - look.probe.now()) / 86400)
    found = f"{asked} port {tls['port']} shows the certificate on disk, good for {int(min(days))} days"
    if min(days) < _LEAST_DAYS:
        return bad(found, wanted, "run `make site`: it renews the certificate in time")
    return good(found, wanted)


def confined(look: Look) -> Finding:
    wanted = "internal networks only, which lead nowhere"
    if look.native:
        return _kept_in(look)
    if look.engine["kind"] == "vllm_router":
        return good("it asks the stations of the pool, and trusts no other certificate")
    names = sorted(look.inspection("engine")["NetworkSettings"]["Networks"])
    ran = look.docker("network", "inspect", "--format", "{{.Name}} {{.Internal}}", *names)
    open_ones = [line.split()[0] for line in ran.out.splitlines() if line.split()[1] != "true"]
    if ran.status != 0:
        return bad(ran.err.strip()[:200], wanted, "run `make site`")
    if open_ones:
        return bad(f"it is on {', '.join(open_ones)}, which leads out", wanted, "run `make site`")
    return good(f"it is on {', '.join(names)} alone", wanted)


def _kept_in(look: Look) -> Finding:
    """A service is kept in by systemd, which lets it talk to this machine alone."""
    if look.engine.get("adopted"):
        return good(f"{look.engine['unit']} was here before and keeps its own settings")
    if look.probe.mac:
        return good("launchd confines no agent; it has no cloud models (OLLAMA_NO_CLOUD)")
    denied = look.service.get("IPAddressDeny", "").split()
    if {"::/0", "0.0.0.0/0"} <= set(denied):
        return good(f"{look.engine['unit']} may talk to this machine alone")
    return bad(f"IPAddressDeny={' '.join(denied)}", "IPAddressDeny=any", look.unit_fix)


def _tls(look: Look) -> Mapping[str, Any]:
    """What the inventory declares for other machines; empty where it declares nothing."""
    return dict(look.station["expected"].get("tls") or {})


def _declared(look: Look) -> str:
    tls = _tls(look)
    return f"{tls['address']}:{tls['port']}" if tls else ""


def _wanted(look: Look) -> str:
    return f"loopback, and {_declared(look)} with TLS" if _tls(look) else "loopback only"


def _is_declared(look: Look, address: Address, port: int) -> bool:
    tls = _tls(look)
    if not tls or port != int(tls["port"]):
        return False
    declared = ipaddress.ip_address(tls["address"])
    return declared == address or (declared.is_unspecified and address.is_unspecified)


def _bindings(look: Look, role: str) -> Iterator[tuple[str, int]]:
    """Host address and port of everything that a container publishes."""
    inspection = look.inspection(role)
    # A container that does not run publishes nothing now; what it would publish is in its configuration.
    ports = inspection["NetworkSettings"].get("Ports") or inspection["HostConfig"].get("PortBindings") or {}
    for bindings in ports.values():
        for binding in bindings or ():
            yield binding["HostIp"] or "0.0.0.0", int(binding["HostPort"])  # noqa: S104 (Docker's way to say everywhere)


def _listeners(look: Look) -> Iterator[tuple[Address, int]]:
    if look.probe.mac:
        ran = look.probe.run(["lsof", "-nP", "-iTCP", "-sTCP:LISTEN", "-Fn"])
        yield from ((ipaddress.ip_address(address), port) for address, port in parse_lsof(ran.out))
        return
    for name in ("tcp", "tcp6"):
        try:
            text = look.probe.read(Path("/proc/net") / name)
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in text.splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN:
                address, port = fields[1].split(":")
                yield _address(address), int(port, 16)


def _address(text: str) -> Address:
    """/proc/net/tcp writes each 32-bit word in the machine's order (little-endian on every host we support)."""
    raw = bytes.fromhex(text)
    ordered = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = ipaddress.ip_address(ordered)
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


CHECKS = (
    Check("network.published", "only the router is published, where declared", published, needs=("containers.exist",)),
    Check("network.confined", "the engine reaches nothing outside", confined, needs=("containers.exist",)),
    Check(
        "network.listening",
        "nothing of ours listens beyond what was declared",
        listening,
        needs=("containers.exist",),
    ),
    Check("network.tls", "other machines are let in with TLS only", secured, needs=("containers.running",)),
)
