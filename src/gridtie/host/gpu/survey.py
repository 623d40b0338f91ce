"""Everything about a machine's graphics at one moment: cards, drivers, ways to them. Read once, judged many times."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .access import Access, read_access
from .assess import judged
from .bus import read_cards
from .card import DISCRETE, INTEGRATED, Graphics
from .modules import Module, read_module
from .system import System, read_system


@dataclass(frozen=True)
class Survey:
    """What was found. `cards` holds management chips and virtual displays, too."""

    system: System = field(default_factory=System)
    cards: tuple[Graphics, ...] = ()
    nvidia: Module = field(default_factory=Module)
    uvm: Module = field(default_factory=Module)
    amdgpu: Module = field(default_factory=Module)
    access: Access = field(default_factory=Access)
    # The names of the cards that the engine may use; empty: all.
    devices: tuple[str, ...] = ()

    @property
    def graphics(self) -> tuple[Graphics, ...]:
        """Cards that compute: without what only shows a console."""
        return tuple(card for card in self.cards if card.kind in (DISCRETE, INTEGRATED))

    @property
    def expected(self) -> tuple[Graphics, ...]:
        """Cards of their own that the engine supports: leaving them idle is a fault."""
        return tuple(card for card in self.cards if card.expected)


def read_survey(root: Path = Path("/"), architecture: str = "") -> Survey:
    """The machine below `root`. Nothing is run, nothing is changed, and no privilege is needed; some files only root
    can read are then told as unknown. `architecture` is what `uname -m` says."""
    system = read_system(root, architecture)
    cards = read_cards(root)
    vendors = {card.vendor for card in cards if card.kind in (DISCRETE, INTEGRATED)}
    nvidia = "NVIDIA" in vendors or bool(system.jetson)
    # A machine without cards pays for none of the rest: a run of the playbook asks every time.
    survey = Survey(
        system=system,
        cards=cards,
        nvidia=read_module(root, system.kernel, "nvidia") if nvidia else Module(),
        uvm=read_module(root, system.kernel, "nvidia_uvm") if nvidia else Module(),
        amdgpu=read_module(root, system.kernel, "amdgpu") if "AMD" in vendors else Module(),
        access=read_access(root) if vendors or system.wsl or system.jetson else Access(),
    )
    return judged(survey)
