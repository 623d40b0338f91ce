"""The router: alive, ready, with the configuration that is on disk, and closed to who should not get in."""

from __future__ import annotations

import hashlib
from typing import Any

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look
from gridtie.host.purpose_names import SMOKE_TEST
from gridtie.host.router import Answer


def alive(look: Look) -> Finding:
    answer = look.get("/healthz", key="")
    if answer.status == 200:
        return good(f"{look.endpoint}/healthz answers")
    return bad(f"{look.endpoint}/healthz answers {answer.status}", "200", f"see `{look.router_log}`")


def ready(look: Look) -> Finding:
    answer = look.get("/readyz", key="")
    if answer.status == 200:
        return good(f"{look.endpoint}/readyz answers")
    said = answer.json()
    reasons = said.get("reasons") if isinstance(said, dict) else None
    why = "; ".join(map(str, reasons)) if reasons else answer.error()[1]
    return bad(f"{answer.status}: {why}", "200: it can serve requests", f"put that right; see `{look.router_log}`")


def key(look: Look) -> Finding:
    if not look.key:
        return bad("no key", "the station's key", "run it with sudo")
    answer = look.get("/v1/models")
    if answer.status != 200:
        return bad(
            f"{answer.status}: {answer.error()[1]}",
            "200 and the list of models",
            "run `make site`: it writes keys.json",
        )
    names = [model["id"] for model in answer.json()["data"]]
    if look.smoke_test not in names:
        wanted = f"`{SMOKE_TEST}` among them"
        return bad(f"models {', '.join(names)}", wanted, f"add the alias `{SMOKE_TEST}` to llm_routing.yaml")
    return good(f"models {', '.join(names)}")


def stranger(look: Look) -> Finding:
    return _refused(look.get("/v1/models", key="gt-" + "A" * 43), (401,), "a key that nobody was given")


def keyless(look: Look) -> Finding:
    return _refused(look.get("/v1/models", key=""), (401,), "a request without a key")


def origin(look: Look) -> Finding:
    answer = look.get("/v1/models", headers={"Origin": "http://attacker.example"})
    return _refused(answer, (403,), "a web page of another site")


def host(look: Look) -> Finding:
    answer = look.get("/v1/models", headers={"Host": "attacker.example"})
    return _refused(answer, (400, 403, 421), "a Host name that is not the router's (DNS rebinding)")


def _refused(answer: Answer, statuses: tuple[int, ...], who: str) -> Finding:
    wanted = " or ".join(map(str, statuses))
    if answer.status in statuses:
        return good(f"{answer.status} for {who}", wanted)
    return bad(f"{answer.status} for {who}", wanted, "stop the router (`docker stop`) and report this as a bug")


def configuration(look: Look) -> Finding:
    answer = look.get("/gridtie/config")
    if answer.status != 200:
        return bad(
            f"{answer.status}: {answer.error()[1]}", "200", "ask with an admin key (the station's own), or with sudo"
        )
    loaded: dict[str, Any] = answer.json()
    if loaded.get("error"):
        return bad(str(loaded["error"]), "no error at the last reload", f"correct {look.config_dir}/llm_routing.yaml")
    text = look.probe.read(look.config_dir / "llm_routing.yaml")
    wanted = hashlib.sha256(text.encode()).hexdigest()
    found = str(loaded["digest"]).rpartition(":")[2]
    if found != wanted:
        return bad(
            f"routing file {found[:12]} is loaded",
            f"{wanted[:12]}, the one on disk",
            f"wait a second, then look again; else see `{look.router_log}`",
        )
    warned = "".join(f"; warning: {each}" for each in loaded.get("warnings") or ())
    return good(f"routing file {found[:12]} is loaded, as on disk{warned}")


CHECKS = (
    Check("router.alive", "the router answers on this machine", alive, needs=("config.station",)),
    Check("router.ready", "the router can serve", ready, needs=("router.alive",)),
    Check("router.key", "the station's key opens it, and it lists the models", key, needs=("router.alive",)),
    Check("router.unknown_key", "an unknown key is refused", stranger, needs=("router.alive",)),
    Check("router.no_key", "a request without a key is refused", keyless, needs=("router.alive",)),
    Check("router.origin", "web pages of other sites are refused", origin, needs=("router.key",)),
    Check("router.host", "other Host names are refused", host, needs=("router.key",)),
    Check("router.config", "the routing file on disk is the one in use", configuration, needs=("router.key",)),
)
