"""What models are chosen among in tests: those that nobody will measure anew, in budgets of so many GiB."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gridtie.catalogue import load
from gridtie.host.catalogue import Catalogue, Model
from gridtie.host.fit.judge import Verdict, Wishes, judge
from gridtie.host.fit.memory import GIB, Settings
from gridtie.host.fit.placement import Budget, Device
from gridtie.host.fit.purposes import PURPOSES

# The whole catalogue.
FULL = load(Path(__file__).parents[2] / "config" / "models.yaml")
# Models that nobody will measure anew: what is chosen among them stays as it is when others come.
SETTLED = (
    *(f"qwen2.5-coder:{size}b" for size in ("0.5", "1.5", "3", "7", "14", "32")),
    *("codellama:7b", "codellama:13b", "codellama:70b", "qwen3-coder:30b", "llama3:8b", "llama3.1:8b", "llama3.1:70b"),
    *("llama3.2:1b", "llama3.2:3b", "llama3.3:70b", "smollm2:135m"),
)
CATALOGUE = Catalogue({name: FULL.models[name] for name in SETTLED}, FULL.references)
WISHES = Wishes(settings=Settings(0))
CODE = PURPOSES["code"]


def budget(gib: float, bandwidth: float | None = None) -> Budget:
    return Budget("memory", int(gib * GIB), int(gib * GIB), bandwidth, "given")


def on_card(gib: float, behind: float = 32) -> Budget:
    card = Device("card", int(gib * GIB), int(gib * GIB), 500e9)
    return Budget(
        "card", card.total, card.available, 500e9, cards=(card,), behind=Device("memory", 0, int(behind * GIB))
    )


# Trained for 128K, with tools and without a flag.
LONG = replace(CATALOGUE.models["llama3.1:8b"], flags=(), purposes=("chat", "code", "agents"))


def verdict(name: str, gib: float = 1000, bandwidth: float | None = None, wishes: Wishes = WISHES) -> Verdict:
    return judge(CATALOGUE.models[name], budget(gib, bandwidth), wishes, CODE)


def made(name: str, like: str, **changes: object) -> Model:
    """A model of the catalogue under another name, changed."""
    return replace(CATALOGUE.models[like], name=name, **changes)  # type: ignore[arg-type]
