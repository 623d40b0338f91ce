"""Which engine a station runs and where it comes from: decided purely, from what was asked and what answers."""

from __future__ import annotations

from typing import Any


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


def _ollama_source(wanted: dict[str, Any], reach: dict[str, Any], gpus: list[str]) -> tuple[str, str]:
    """The source of Ollama and the reason, or ``Unmet``."""
    asked = wanted["source"]
    upstream = "mirror" if wanted.get("mirror_url") else "registry"
    upstream_title = "the mirror" if upstream == "mirror" else "a container registry"
    upstream_state = _state(reach, upstream)
    if upstream_state == "ok" and asked in ("auto", "release"):
        return "release", f"{upstream_title} answered, so the pinned image is used"
    detail = reach.get(upstream, {}).get("detail", "not asked")
    if asked == "release":
        raise Unmet(
            f"gridtie_ollama_source is release, and {upstream_title} does not answer ({detail})",
            "give this machine a way to it (HTTPS_PROXY, gridtie_mirror_url), or set gridtie_ollama_source: auto",
        )
    if asked == "auto" and upstream_state == "error":
        # An answer that is wrong (a server error, a certificate nobody trusts) is something to look at, not a reason
        # to build the engine from other parts.
        raise Unmet(
            f"{upstream_title} answers with an error ({detail})",
            "try again later or repair it; to compile Ollama instead, set gridtie_ollama_source: packages",
        )
    missing = _packages_missing(reach)
    if missing:
        raise Unmet(
            f"Ollama can come neither from {upstream_title} ({detail}) nor from packages: no answer from "
            + ", ".join(missing),
            "repair the network or the proxy settings, or set gridtie_mirror_url",
        )
    if asked == "auto":
        why = f"no container registry answered ({detail}), so Ollama is compiled from package registries"
        if gpus:
            why += f"; this build uses the CPU only, and {gpus[0]} stays idle"
        return "packages", why
    return "packages", "gridtie_ollama_source is packages"


def choose(
    wanted: dict[str, Any], stored: dict[str, Any], reach: dict[str, Any], gpus: list[str] | None = None
) -> dict[str, Any]:
    """The engine, its mode and its source, with the reason.

    ``wanted`` holds the variables (``engine``, ``mode``, ``source``, ``mirror_url``), ``stored`` the ``engine`` of the
    station that is already here (it stays for everything that is asked as ``auto``), ``reach`` the probes by name.
    """
    if wanted["mode"] == "native":
        raise Unmet(
            "gridtie_engine_mode is native, and this version runs engines in containers only",
            "set gridtie_engine_mode: auto or container",
        )
    engine = wanted["engine"]
    if engine == "auto" and stored.get("kind"):
        engine = stored["kind"]
    if engine == "embedded":
        why = stored.get("why") if wanted["engine"] == "auto" and stored.get("kind") == "embedded" else None
        return _choice("embedded", "packages", why or "gridtie_engine is embedded", bool(stored))
    source_kept = wanted["source"] == "auto" and stored.get("kind") == "ollama" and stored.get("source")
    if source_kept:
        return _choice("ollama", stored["source"], stored.get("why", "kept from the first run"), True)
    if wanted["source"] != "auto" and stored.get("kind") == "ollama" and stored.get("source") == wanted["source"]:
        return _choice("ollama", stored["source"], stored.get("why", "kept from the first run"), True)
    try:
        source, why = _ollama_source(wanted, reach, gpus or [])
    except Unmet as unmet:
        embedded_possible = _state(reach, "pypi") != "unreachable" and _state(reach, "apt") != "unreachable"
        # Only where Ollama was not asked for, in no variable, may the other engine take its place.
        if wanted["engine"] != "auto" or wanted["source"] != "auto" or not embedded_possible or stored:
            raise
        if _state(reach, "registry") == "error" or _state(reach, "mirror") == "error":
            raise
        return _choice("embedded", "packages", f"{unmet}, so llama.cpp's own server is used", False)
    return _choice("ollama", source, why, False)


def _choice(engine: str, source: str, why: str, kept: bool) -> dict[str, Any]:
    return {"engine": engine, "mode": "container", "source": source, "why": why, "kept": kept}
