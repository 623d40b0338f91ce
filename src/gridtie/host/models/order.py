"""What a run, or a person, asks of a station's models, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Collection, Mapping, Optional, Sequence, Union

from ..acceptance.record import FILE as ACCEPTED
from ..acceptance.run import LIMIT_S
from ..catalogue import Catalogue, Pin
from ..fit.agreed import Agreement
from ..fit.builds import build_of
from ..fit.memory import Settings
from ..fit.placement import Budget
from ..fit.purposes import USUAL
from .added import Added
from .engine_server import EngineServer, NotAtHand
from .sources import Means
from .store import Store

ENGINES = ("ollama", "embedded")
OLLAMA_URL = "http://engine:11434"


def nobody() -> EngineServer:
    """No engine is at hand. Raises NotAtHand."""
    raise NotAtHand("no engine was named")


@dataclass(frozen=True)
class Directories:
    """Directories of a station's models: both stores, what is under way, and what was decided."""

    root: Path
    owner: Optional[tuple[int, int]] = None
    # Of an Ollama that somebody else installed, its store and that store's owner.
    adopted: Optional[tuple[Path, tuple[int, int]]] = None

    def store(self, engine: str) -> Store:
        if self.adopted and engine == "ollama":
            return Store(*self.adopted)
        return Store(self.root / engine, self.owner)

    @property
    def incoming(self) -> Path:
        """On the file system of the store, so that what is complete gets there by a rename."""
        return self.adopted[0] / ".gridtie" if self.adopted else self.root / "incoming"

    @property
    def owned(self) -> Path:
        return self.root / "brought.json"

    @property
    def resolved(self) -> Path:
        return self.root / "resolved.json"

    @property
    def proofs(self) -> Path:
        """Which models have answered."""
        return self.root / "proved.json"

    @property
    def added(self) -> Path:
        """What was added by hand."""
        return self.root / "added.json"

    @property
    def accepted(self) -> Path:
        """What the models have shown."""
        return self.root / ACCEPTED

    @property
    def asked(self) -> Path:
        """What the engine itself said that models take."""
        return self.root / "asked.json"

    @property
    def checked(self) -> Path:
        return self.root / "checked.json"

    @property
    def embedded_list(self) -> Path:
        """What the embedded engine serves; it watches this file."""
        return self.root / "embedded.json"


@dataclass
class Order:
    """Everything that `provision` needs to know. `probe` tells unreachable kinds of source, `budget` the memory there
    is; both are asked only when a choice is made. `lock` has the project's pins, `learned` those of this inventory.
    """

    directories: Directories
    catalogue: Catalogue
    lock: Mapping[str, Pin]
    models: Union[str, Sequence[Union[str, Mapping[str, Any]]]]
    engine: str
    means: Means
    budget: Callable[[], Budget]
    probe: Callable[[], Mapping[str, str]]
    # Tokens a second that models had on this machine.
    speeds: Callable[[], Mapping[str, float]] = field(default=dict)
    # Where the router reaches Ollama.
    ollama_url: str = OLLAMA_URL
    parallel: int = 1
    kv_type: str = "f16"
    flash_attention: bool = True
    max_download: Optional[int] = 0
    purposes: Sequence[str] = USUAL
    engine_version: str = ""
    # Whether the engine computes with llama.cpp as published, not with Ollama's own build of it.
    stock: bool = False
    learned: Mapping[str, Pin] = field(default_factory=dict)
    require_pins: bool = False
    choose_again: bool = False
    # What `auto` means where a group of machines has one choice.
    agreed: Optional[Agreement] = None
    deep: bool = False
    seed: Optional[Path] = None
    prune: bool = False
    # What a person adds by hand, and names of what was added and is to go.
    add: Sequence[Added] = ()
    remove: Collection[str] = ()
    # Told all models, as station.json holds them, after something was added or removed and before another run may
    # begin; may raise.
    serve: Callable[[Sequence[Mapping[str, Any]]], None] = field(default=lambda models: None)
    # The address at which this host reaches the engine that station.json names, or Unreachable; None asks no model for
    # an answer.
    reach: Optional[Callable[[str], str]] = None
    # At most so many seconds in which a new model shows what it can; 0 asks none of them.
    accept_s: float = LIMIT_S
    # Whether those are asked again that failed in what takes no purpose away.
    ask_failed_again: bool = False
    # Whether the engine computes on graphics.
    graphics: bool = False
    # The engine's own llama-server, or NotAtHand; and what tells this engine from another version of it.
    server: Callable[[], EngineServer] = field(default=nobody)
    engine_identity: str = ""
    # Told the library's digests that nobody knew, before anything of those models is fetched; may raise.
    agree: Callable[[Mapping[str, Pin]], None] = field(default=lambda pins: None)
    say: Callable[[str], None] = field(default=lambda message: None)

    @property
    def build(self) -> int:
        """Of llama.cpp, for which memory is counted."""
        return build_of(self.engine, self.engine_version, self.stock)


def settings_of(order: Order, context: int) -> Settings:
    return Settings(context, order.parallel, order.kv_type, order.flash_attention, order.engine, order.build)
