"""Which engine a station runs, how, and where it comes from: decided purely, from what was asked and what answers."""

from __future__ import annotations

from typing import Any

# The oldest Ollama that is adopted: since 0.30 llama.cpp's server itself refuses a chat that does not fit, with both
# numbers. Older ones cut it.
OLDEST_ADOPTED = (0, 30)


class Unmet(Exception):
    """What was asked for explicitly cannot be had here. ``fix`` says what to do about it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def _state(reach: dict[str, Any], name: str) -> str:
    return str(reach.get(name, {}).get("state", "unknown"))


def _packages_missing(reach: dict[str, Any]) -> list[str]:
    """Package sources that certainly do not answer. One that cannot be asked from here is left to the build to try."""
    names = {"apt": "the distribution's packages", "pypi": "the Python package index", "go": "the Go module proxy"}
    return [title for name, title in names.items() if _state(reach, name) in ("unreachable", "error")]


def _upstream(wanted: dict[str, Any], mode: str) -> tuple[str, str, str]:
    """Who has upstream's own build for this mode: the probe's name, a title, and what is taken from there."""
    pinned = "the pinned archive is used" if mode == "native" else "the pinned image is used"
    if wanted.get("mirror_url"):
        return "mirror", "the mirror", pinned
    if mode == "native":
        return "release", "Ollama's release page", pinned
    return "registry", "the container registry", pinned


def _ollama_source(
    wanted: dict[str, Any], mode: str, reach: dict[str, Any], gpus: list[str], mac: bool
) -> tuple[str, str]:
    """The source of Ollama and the reason, or ``Unmet``."""
    asked = wanted["source"]
    upstream, title, pinned = _upstream(wanted, mode)
    state = _state(reach, upstream)
    if state == "ok" and asked in ("auto", "release"):
        return "release", f"{title} answered, so {pinned}"
    detail = reach.get(upstream, {}).get("detail", "not asked")
    if asked == "release":
        raise Unmet(
            f"gridtie_ollama_source is release, and {title} does not answer ({detail})",
            "give this machine a way to it (gridtie_https_proxy, gridtie_mirror_url), or set "
            "gridtie_ollama_source: auto",
        )
    if asked == "auto" and state == "error":
        # An answer that is wrong (a server error, a certificate nobody trusts) is something to look at, not a reason
        # to build the engine from other parts.
        raise Unmet(
            f"{title} answers with an error ({detail})",
            "try again later or repair it; to compile Ollama instead, set gridtie_ollama_source: packages",
        )
    if mac:
        said = "gridtie_ollama_source is packages" if asked == "packages" else f"{title} does not answer ({detail})"
        raise Unmet(
            f"{said}, and on a Mac Ollama is not compiled: that gives a program for Linux, without Metal",
            "give this Mac a way to upstream's release (gridtie_https_proxy, gridtie_mirror_url), or run `brew install "
            "ollama` and `brew services start ollama`: what runs is used as it is",
        )
    missing = _packages_missing(reach)
    if missing:
        raise Unmet(
            f"Ollama can come neither from {title} ({detail}) nor from packages: no answer from " + ", ".join(missing),
            "repair the network or the proxy settings, or set gridtie_mirror_url",
        )
    if asked == "auto":
        why = f"{title} did not answer ({detail}), so Ollama is compiled from package registries"
        if gpus:
            why += f"; this build uses the CPU only, and {gpus[0]} stays idle"
        return "packages", why
    return "packages", "gridtie_ollama_source is packages"


def on_mac(host: dict[str, Any]) -> bool:
    """Whether a machine (or what `choose` is told of it) is a Mac."""
    return host.get("init") == "launchd"


def _how_to_start(host: dict[str, Any]) -> str:
    unit = host["silent"]
    if on_mac(host):
        return f"brew services start ollama, or launchctl kickstart gui/$(id -u)/{unit}"
    return f"sudo systemctl start {unit}; journalctl -u {unit} has its log"


def _against_native(wanted: dict[str, Any], host: dict[str, Any]) -> str:
    """Why a service of this machine cannot be the engine; empty where it can."""
    if on_mac(host):
        return ""  # Containers of every Docker there reach the Mac by a name.
    if host.get("init") != "systemd":
        return "this machine is not run by systemd"
    if host.get("confined_docker"):
        return (
            "containers of a rootless Docker or of Docker Desktop have no way to a service on this machine's loopback"
        )
    if wanted.get("networks"):
        return "gridtie_networks needs a router that can join networks, and beside a native engine it cannot"
    return ""


def _mode(wanted: dict[str, Any], stored: dict[str, Any], reach: dict[str, Any], host: dict[str, Any]) -> str:
    """How Ollama runs: as a service where that is possible, unless it was asked or decided otherwise."""
    if wanted["mode"] == "container":
        return "container"
    against = _against_native(wanted, host)
    if wanted["mode"] == "native":
        if against:
            raise Unmet(f"gridtie_engine_mode is native, and {against}", "set gridtie_engine_mode: auto or container")
        return "native"
    if stored.get("mode") == "native" and against:
        raise Unmet(
            f"the engine of this station is a service, and {against}",
            "undo that, or set gridtie_engine_mode: container to have the engine in a container from now on",
        )
    if stored.get("mode"):
        return str(stored["mode"])
    if on_mac(host):
        return "native"  # A container is in a virtual machine without Metal: only where it was asked for.
    return "container" if _rather_container(wanted, reach, host) else "native"


def _rather_container(wanted: dict[str, Any], reach: dict[str, Any], host: dict[str, Any]) -> str:
    """Why `auto` means a container here; empty where it means a service."""
    if against := _against_native(wanted, host):
        return against
    if host.get("ollama") or host.get("own_ollama"):
        return "an Ollama that is not the station's has the port"
    upstream, _, _ = _upstream(wanted, "native")
    state = _state(reach, upstream)
    compiled = wanted["source"] == "packages" or (wanted["source"] == "auto" and state in ("unreachable", "unknown"))
    if compiled and not host.get("runs_compiled"):
        return "what is compiled does not run on this system as it is"
    # Upstream's image, where its archives cannot be had, before an Ollama that is compiled.
    image_only = state != "ok" and _state(reach, "registry") == "ok"
    if image_only and wanted["source"] != "packages" and not wanted.get("mirror_url"):
        return "Ollama's release page did not answer"
    return ""


def _adopted(wanted: dict[str, Any], stored: dict[str, Any], host: dict[str, Any]) -> dict[str, Any]:
    """The Ollama that somebody else runs here as a service, if it is to be used as it is; else empty."""
    if wanted["source"] != "auto" or wanted["mode"] == "container" or _against_native(wanted, host):
        return {}
    if stored and not stored.get("adopted") and wanted["mode"] in ("auto", stored.get("mode")):
        return {}
    found: dict[str, Any] = host.get("ollama") or {}
    if not found:
        if host.get("silent"):
            raise Unmet(
                f"{host['silent']}, which is this station's engine, is installed and does not answer",
                f"start it ({_how_to_start(host)}), remove "
                "it, or set gridtie_engine_mode: container for an engine of the station's own",
            )
        return {}
    version = tuple(int(part) for part in str(found.get("version", "")).split(".")[:2] if part.isdigit())
    if version >= OLDEST_ADOPTED:
        return found
    if wanted["mode"] == "native":
        raise Unmet(
            f"the Ollama {found.get('version') or 'of an unknown version'} of {found['unit']} cuts what does not fit "
            "without a word, and it is never replaced from here",
            "upgrade it to 0.30 or newer, or set gridtie_engine_mode: container for an engine beside it",
        )
    return {}


def choose(
    wanted: dict[str, Any],
    stored: dict[str, Any],
    reach: dict[str, Any],
    gpus: list[str] | None = None,
    host: dict[str, Any] | None = None,
    cards: list[str] | None = None,
) -> dict[str, Any]:
    """The engine, its mode and its source, with the reason.

    ``wanted`` holds the variables (``engine``, ``mode``, ``source``, ``mirror_url``, ``networks``, ``pool``),
    ``stored`` the ``engine`` of the station that is already here (it stays for everything that is asked as ``auto``),
    ``reach`` the probes by name. ``host`` says what a native engine depends on: ``init``, ``confined_docker`` (rootless
    Docker or Docker Desktop, no obstacle on a Mac), ``runs_compiled`` (what is compiled in the base image runs here),
    ``ollama`` (another service that is an Ollama; see gridtie_services), ``own_ollama`` (a person runs one by hand, or
    in a container) and ``silent`` (the service that was adopted, where it does not answer now).
    """
    host = host or {}
    engine = wanted["engine"]
    if engine == "auto" and stored.get("kind"):
        engine = stored["kind"]
    if engine == "embedded":
        return _embedded(wanted, stored)
    if engine == "vllm":
        return _vllm(wanted, stored, reach, cards or [])
    if engine == "vllm_router":
        return _vllm_router(wanted, stored, reach)
    if stored.get("kind") != "ollama":
        stored = {}  # Of another engine nothing stays.
    adopted = _adopted(wanted, stored, host)
    if adopted:
        why = f"{adopted['unit']} was here and is used as it is"
        return _choice("ollama", "native", "adopted", why, bool(stored.get("adopted")), adopted)
    if stored.get("adopted") and not _against_native(wanted, host):
        stored = {}  # Whoever installed it took it away, or it is not to be used any more.
    mode = _mode(wanted, stored, reach, host)
    asked_anew = wanted["source"] not in ("auto", stored.get("source")) or stored.get("mode", mode) != mode
    if stored.get("source") and not asked_anew:
        return _choice("ollama", mode, stored["source"], stored.get("why", "kept from the first run"), True)
    try:
        source, why = _ollama_source(wanted, mode, reach, gpus or [], on_mac(host))
    except Unmet as unmet:
        if on_mac(host) or not _may_be_embedded(wanted, stored, reach):
            raise
        return _choice("embedded", "container", "packages", f"{unmet}, so llama.cpp's own server is used", False)
    if mode == "native" and source == "packages" and not host.get("runs_compiled"):
        raise Unmet(
            f"{why}, and what is compiled runs as a service on Debian 12 and 13 and Ubuntu 24.04 alone",
            "set gridtie_engine_mode: container, or give this machine a way to Ollama's own archives "
            "(gridtie_https_proxy, gridtie_mirror_url)",
        )
    if wanted["mode"] == "auto" and mode == "container" and not stored:
        why += f"; in a container: {_rather_container(wanted, reach, host)}"
    return _choice("ollama", mode, source, why, False)


def _embedded(wanted: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    if wanted["mode"] == "native":
        raise Unmet(
            "gridtie_engine_mode is native, and llama.cpp's own server runs in a container only",
            "set gridtie_engine_mode: auto, or gridtie_engine: ollama",
        )
    kept = stored.get("kind") == "embedded"
    why = stored.get("why") if kept and wanted["engine"] == "auto" else None
    return _choice("embedded", "container", "packages", why or "gridtie_engine is embedded", kept)


def _vllm(wanted: dict[str, Any], stored: dict[str, Any], reach: dict[str, Any], cards: list[str]) -> dict[str, Any]:
    """vLLM, which nobody gets unasked: upstream's image where there is a card for it, else what packages give."""
    if wanted["mode"] == "native":
        raise Unmet(
            "gridtie_engine_mode is native, and vLLM runs in a container only",
            "set gridtie_engine_mode: auto, or gridtie_engine: ollama",
        )
    if stored.get("kind") == "vllm" and wanted["engine"] == "auto":
        return _choice("vllm", "container", stored["source"], stored.get("why", "kept from the first run"), True)
    kept = stored.get("kind") == "vllm"
    if not cards:
        missing = [title for title in _packages_missing(reach) if "Go" not in title]
        if missing:
            raise Unmet(
                f"vLLM for the processor is made of packages, and there is no answer from {', '.join(missing)}",
                "repair the network or the proxy settings",
            )
        why = "gridtie_engine is vllm, and there is no card for it: the processor computes, for tests and trials"
        return _choice("vllm", "container", "packages", why, kept)
    upstream, title = ("mirror", "the mirror") if wanted.get("mirror_url") else ("registry", "the container registry")
    if _state(reach, upstream) != "ok" and not kept:
        detail = reach.get(upstream, {}).get("detail", "not asked")
        raise Unmet(
            f"vLLM for {cards[0]} is upstream's image, and {title} does not answer ({detail})",
            "give this machine a way to it (gridtie_https_proxy, gridtie_mirror_url), or set gridtie_gpu: never to try "
            "vLLM on the processor",
        )
    return _choice("vllm", "container", "release", f"gridtie_engine is vllm, on {cards[0]}", kept)


def _vllm_router(wanted: dict[str, Any], stored: dict[str, Any], reach: dict[str, Any]) -> dict[str, Any]:
    """vllm-router, which computes nothing: it hands requests to the stations of the pool."""
    if wanted["mode"] == "native":
        raise Unmet(
            "gridtie_engine_mode is native, and vllm-router runs in a container only", "set gridtie_engine_mode: auto"
        )
    if not wanted.get("pool"):
        raise Unmet(
            "gridtie_engine is vllm_router, and gridtie_pool names nobody that it could ask",
            "name the stations that it stands before, such as gridtie_pool: \"{{ groups['vllm'] }}\"",
        )
    kept = stored.get("kind") == "vllm_router"
    missing = [title for title in _packages_missing(reach) if "Go" not in title]
    if missing and not kept:
        raise Unmet(
            f"vllm-router's image is made of packages, and there is no answer from {', '.join(missing)}",
            "repair the network or the proxy settings",
        )
    why = f"gridtie_engine is vllm_router, in front of {', '.join(map(str, wanted['pool']))}"
    return _choice("vllm_router", "container", "packages", why, kept)


def _may_be_embedded(wanted: dict[str, Any], stored: dict[str, Any], reach: dict[str, Any]) -> bool:
    """Only where Ollama was asked for in no variable, and nothing answered wrongly, may the other engine stand in."""
    asked = any(wanted[name] != "auto" for name in ("engine", "mode", "source"))
    wrong = any(_state(reach, name) == "error" for name in ("registry", "release", "mirror"))
    possible = all(_state(reach, name) != "unreachable" for name in ("pypi", "apt"))
    return possible and not asked and not wrong and not stored


def _choice(
    engine: str, mode: str, source: str, why: str, kept: bool, adopted: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"engine": engine, "mode": mode, "source": source, "why": why, "kept": kept, "adopted": adopted or {}}
