"""Graphics cards: that a supported one can be used, and the engine's own word that it is.

`nvidia-smi` shows a card whether the engine computes on it or not; only `size_vram` of `/api/ps` tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look
from gridtie.host.gpu import Survey, verdict
from gridtie.host.gpu.needs import Need

GIB = 1 << 30

# Notes of the verdict that somebody may want to act on.
WORTH_SAYING = ("old_toolkit", "default_runtime", "jetpack", "wsl_gpu")

OFF = "to leave it idle knowingly, set gridtie_gpu: off"


@dataclass(frozen=True)
class Placed:
    """A model in the engine's memory, and how many of its bytes are on cards."""

    name: str
    size: int
    on_cards: int

    @property
    def told(self) -> str:
        share = 100 * self.on_cards // self.size if self.size else 0
        return f"{self.name}: {self.on_cards / GIB:.1f} of {self.size / GIB:.1f} GiB on cards ({share} %)"


def ready(look: Look) -> Finding:
    """Cards, drivers, and what gives them to containers. What is no card of its own is information."""
    survey = look.survey
    names = ", ".join(f"{card.title} ({card.kind})" for card in survey.cards) or "no graphics card"
    found = verdict(survey, str(look.engine.get("mode") or "container"))
    if _off(look):
        return good(f"{names}; gridtie_gpu is off")
    if found.problems:
        return bad(
            "; ".join(need.found for need in found.problems),
            f"{', '.join(card.title for card in survey.expected) or 'the card'} usable by the engine",
            f"{'; '.join(map(_fix, found.problems))}; {OFF}",
        )
    notes = [
        need.found for need in found.needs if need.code in ("old_toolkit", "default_runtime", "jetpack", "wsl_gpu")
    ]
    return good("; ".join([names, *notes]))


def _fix(need: Need) -> str:
    return need.fix + (f" ({' && '.join(need.commands)})" if need.commands else "")


def used(look: Look) -> Finding:
    """Whether the engine computes on the cards that are there."""
    survey = look.survey
    if not survey.expected and not look.metal:
        return good("no card that the engine supports: it computes on the processor")
    if _off(look):
        return good("gridtie_gpu is off: the engine computes on the processor")
    cards = ", ".join(card.title for card in survey.expected) or "Metal"
    wanted = f"models on {cards}"
    engine = look.engine
    if engine["kind"] != "ollama" or engine.get("source") == "packages":
        return bad(
            f"{cards} lies idle: this engine ({engine.get('why') or engine['kind']}) computes on the processor alone",
            wanted,
            "give this machine a way to Ollama's own builds (HTTPS_PROXY, gridtie_mirror_url) and run `make site` with "
            f"gridtie_ollama_source: release; {OFF}",
        )
    models = placed(look)
    if not models:
        return bad("no model is in the engine's memory, so nothing tells", wanted, "send a request and look again")
    told = "; ".join(model.told for model in models)
    if not any(model.on_cards for model in models):
        return bad(f"{cards} lies idle: {told}", wanted, _why_idle(look, survey))
    partly = [model for model in models if model.on_cards < model.size]
    return good(told + ("; the rest is slow: a smaller model or context fits wholly" if partly else ""), wanted)


def placed(look: Look) -> list[Placed]:
    """The models in Ollama's memory, by its own report."""
    return [Placed(str(model["name"]), int(model["size"]), int(model.get("size_vram", 0))) for model in look.in_memory]


def _why_idle(look: Look, survey: Survey) -> str:
    """All that can be seen from here is right, so what is left are the engine's own reasons and known traps."""
    if look.probe.mac:
        steps = [f"start the engine again (`launchctl kickstart -k gui/$(id -u)/{look.engine['unit']}`)"]
    elif look.native:
        steps = [f"start the engine again (`sudo systemctl restart {look.engine['unit']}`)"]
    else:
        again = f"docker restart {look.containers['engine']}"
        steps = [
            f"start the engine again (`{again}`): systemd, when it reads its units anew, takes cards from containers"
        ]
    if any(card.vendor == "NVIDIA" for card in survey.expected):
        steps.append("after a suspend first `sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm`")
    if any(card.backend == "rocm" for card in survey.expected):
        steps.append("ROCm 7 wants AMD's driver of that generation (a time-out of 30 s in the log says so)")
    return "; ".join([*steps, f"`{look.log}` says what it found", OFF])


def _off(look: Look) -> bool:
    """What the playbook was told; stations of earlier versions were told nothing."""
    return str(look.station.get("expected", {}).get("gpu", "auto")) == "off"


CHECKS = (
    Check("gpu.ready", "graphics cards can be used", ready, needs=("config.station",)),
    Check(
        "gpu.used",
        "the engine computes on the cards that are there",
        used,
        # Without a driver that works there is nothing to prove; the greedy requests load a model.
        needs=("gpu.ready", "engine.reachable", "engine.deterministic"),
    ),
)
