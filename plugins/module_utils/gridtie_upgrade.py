"""What an upgrade of the engine has to do: decided purely, from what station.json says, what is pinned and what runs.

While an upgrade is under way, station.json has the key ``upgrade`` with the engine that it left (``before``) and how
fast that was (``speed``). So a run that was killed is taken up again with the same way back.
"""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """Nothing was changed, and nothing will be; the message says why and what to do."""


_TITLES = {"ollama": "Ollama", "vllm": "vLLM"}


def plan(
    station: dict[str, Any],
    choice: dict[str, Any],
    pinned: str,
    told: str,
    *,
    pinned_image: str = "",
    site_command: str = "make site",
) -> dict[str, Any]:
    """``needed``, ``why``, ``before`` (the engine to go back to), ``to``, ``speed`` (what is known of the one before),
    ``measure`` (whether the engine that runs is the one before, so that it can be measured).

    ``choice`` is what the preflight made of station.json and the variables, ``told`` the version that the running
    engine tells; empty where it does not answer. ``pinned_image`` is the image with its digest, where both are known:
    the same version in another image is an upgrade as well. ``site_command`` is what provisions the station again.
    """
    if not station:
        raise Refused(f"this machine has no station to upgrade (there is no station.json): run `{site_command}`")
    engine, under_way = station["engine"], station.get("upgrade") or {}
    if left_alone := _left_alone(engine, site_command):
        return _plan(False, left_alone, engine, pinned)
    _same(engine, choice, site_command)
    if under_way:
        before = under_way["before"]
        why = f"an upgrade from {before['version']} that did not come to its end goes on"
        known = under_way.get("speed") or {}
        measure = before["kind"] == "ollama" and not known and told == before["version"]
        return _plan(True, why, before, pinned, known, measure=measure)
    recorded = engine["version"]
    title = _TITLES[engine["kind"]]
    if told == recorded == pinned:
        if pinned_image and pinned_image != engine.get("image"):
            return _plan(True, f"{title} {recorded} runs from another image than the pinned one", engine, pinned)
        return _plan(False, f"{title} {pinned} runs already, the pinned version", engine, pinned)
    if told == recorded:
        # Only Ollama tells how long it computed.
        measure = engine["kind"] == "ollama"
        return _plan(True, f"{title} {recorded} runs, {pinned} is pinned", engine, pinned, measure=measure)
    if told == pinned:
        # A run of site.yml was killed between the switch and its record.
        return _plan(True, f"{title} {pinned} runs, and station.json still has {recorded}", engine, pinned)
    found = f"says that it is {told}" if told else "does not answer"
    raise Refused(
        f"the engine {found}, and station.json has {recorded}; an upgrade starts from an engine that works, to have "
        f"something to compare with and to go back to. `{site_command}` brings the engine to the pinned version "
        "without that"
    )


def _left_alone(engine: dict[str, Any], site_command: str) -> str:
    """Why this engine is not upgraded from here; empty where it is."""
    if engine.get("adopted"):
        return (
            f"{engine.get('unit', 'the engine')} with Ollama {engine.get('version', '')} was here before the station "
            f"and is never upgraded from here: upgrade it the way it was installed, then run `{site_command}`"
        )
    if engine["kind"] not in _TITLES:
        return (
            "llama.cpp's own server is a package in its image and has no earlier version to go back to: "
            f"`{site_command}` brings it to the pinned one"
        )
    return ""


def _same(engine: dict[str, Any], choice: dict[str, Any], site_command: str) -> None:
    """Raises Refused where the variables ask for another engine than the one that is here."""
    here = {"engine": engine["kind"], "mode": engine["mode"], "source": engine["source"]}
    asked = {name: choice[name] for name in here}
    if asked != here:
        raise Refused(
            f"the variables ask for {_told(asked)}, and the station runs {_told(here)}: an upgrade changes the version "
            f"alone. Run `{site_command}` for the rest, or leave out the variables gridtie_engine, "
            "gridtie_engine_mode and gridtie_ollama_source"
        )


def _told(choice: dict[str, Any]) -> str:
    return f"{choice['engine']} ({choice['mode']}, {choice['source']})"


def _plan(
    needed: bool,
    why: str,
    before: dict[str, Any],
    to: str,
    speed: dict[str, Any] | None = None,
    *,
    measure: bool = False,
) -> dict[str, Any]:
    return {"needed": needed, "why": why, "before": before, "to": to, "speed": speed or {}, "measure": measure}
