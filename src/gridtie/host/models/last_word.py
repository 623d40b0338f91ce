"""The engine's own word on a station's models: its dry run, asked before a model is fetched and after an upgrade.

What it said is kept by file, settings and engine, so that a second run asks nobody.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

from ..catalogue import GgufSource, OllamaSource
from ..fit.header import GgufError, Header
from ..fit.layers import UnknownArchitecture
from ..fit.memory import Need, Settings, need_of_file
from ..json_file import read_table, write_json
from .download import FetchError
from .dry_run import CannotLoad, NoAnswer, agrees, disagreement
from .engine_server import EngineServer, NotAtHand
from .gguf_file import read_header
from .install import Installer, InstallError, Wanted
from .remote_header import read_remote_header
from .sources import Means, ObtainError, blob_url
from .store import StoreError

_PARTS = ("weights", "kv", "state", "compute")


@dataclass
class LastWord:
    """What the engine `engine` said of models, kept in `path`; `server` finds its server, or raises NotAtHand.

    `identity` tells one version of it from another. `remarks` are for people.
    """

    path: Path
    engine: str
    identity: str
    server: Callable[[], EngineServer]
    installer: Installer
    means: Means
    remarks: list[str] = field(default_factory=list)
    _said: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = read_table(self.path)
        said = kept.get("said")
        if kept.get("engine") == self.identity and isinstance(said, dict):
            self._said = said

    def ask(self, wanted: Sequence[tuple[Wanted, Settings]]) -> None:
        """Ask about those models of which nothing was said yet, as far as their headers can be had now.

        Raises InstallError for those that are not here yet and that the engine cannot load, or that lie.
        """
        new = [(item, settings) for item, settings in wanted if self._unsaid(item, settings)]
        try:
            server = self.server() if new else None
        except NotAtHand:
            return
        problems = []
        for item, settings in new if server else ():
            here = self.installer.find(item) is not None
            try:
                self._one(server, item, settings)
            except NoAnswer as reason:
                self.remarks.append(f"{item.model.name}: the engine could not be asked what it would reserve: {reason}")
            except (CannotLoad, GgufError) as reason:
                told = f"{item.model.name}: {_why(reason, self.engine)}"
                if here:
                    self.remarks.append(
                        f"{told}. It is here and stays; choose another, or another version of the engine"
                    )
                else:
                    problems.append(f"{told}. Nothing of it was fetched; choose another model, or another file of it")
            except (FetchError, ObtainError, StoreError, OSError):
                # Whoever installs it tells this, with all other failures.
                continue
        if new:
            write_json(self.path, {"schema": 1, "engine": self.identity, "said": self._said})
        if problems:
            raise InstallError("\n".join(problems))

    def corrected(self, predicted: Optional[Need], digest: str, settings: Settings) -> Optional[Need]:
        """The prediction for a file, or the engine's own figure where that is another; None where neither is known."""
        said = self._need(digest, settings)
        if said is None or (predicted is not None and agrees(predicted, said)):
            return predicted
        return replace(said, projector=predicted.projector if predicted else 0)

    def _one(self, server: Optional[EngineServer], item: Wanted, settings: Settings) -> None:
        digest = self._digest(item)
        looked = self._header(item, digest) if digest else None
        if server is None or looked is None:
            return
        raw, header = looked
        said = server.ask(raw, header, settings)
        self._said[_key(digest, settings)] = {part: getattr(said, part) for part in _PARTS}
        try:
            told = disagreement(need_of_file(header, settings), said, header)
        except (UnknownArchitecture, ValueError):
            return
        self.remarks += [f"{item.model.name}: {told}"] if told else []

    def _unsaid(self, item: Wanted, settings: Settings) -> bool:
        try:
            digest = self._digest(item)
        except (FetchError, ObtainError, StoreError, OSError):
            return False
        return bool(digest) and self._need(digest, settings) is None

    def _need(self, digest: str, settings: Settings) -> Optional[Need]:
        kept = self._said.get(_key(digest, settings))
        try:
            return (
                Need(int(kept["weights"]), int(kept["kv"]), int(kept["compute"]), int(kept["state"])) if kept else None
            )
        except (KeyError, TypeError, ValueError):
            return None

    def _digest(self, item: Wanted) -> str:
        """Of the model's file; "" where it is not known before it is here."""
        found = self.installer.find(item)
        if found:
            return found.model.digest
        if isinstance(item.source, OllamaSource):
            return self.installer.library_base(item.source.name, item.pin, self.means).model.digest
        return f"sha256:{item.pin.gguf}" if item.pin.gguf else ""

    def _header(self, item: Wanted, digest: str) -> Optional[tuple[bytes, Header]]:
        """The header of what is here, else of what the source has; None for what has to be fetched as a whole."""
        source = item.source
        paths = [store.blob(digest) for store in self.installer.stores]
        if isinstance(source, GgufSource) and not source.remote:
            paths.append(Path(source.location))
        if path := next((path for path in paths if path.is_file()), None):
            header = read_header(path)
            with path.open("rb") as file:
                return file.read(header.size), header
        if self.installer.seeded(digest):
            return None
        if isinstance(source, OllamaSource):
            base = self.installer.library_base(source.name, item.pin, self.means)
            url = blob_url(source.name, base.model, self.means)
        elif isinstance(source, GgufSource):
            url = source.location
        else:
            return None
        found = read_remote_header(url, self.means.fetcher, item.model.name)
        return found.raw, found.header


def check_loads(name: str, url: str, settings: Settings, server: Callable[[], EngineServer], means: Means) -> None:
    """Whether the engine loads a file of which no more is known than its address, as far as it can be asked.

    Raises InstallError, also where the header lies or the file is cut, and FetchError.
    """
    try:
        found = read_remote_header(url, means.fetcher, name)
        server().ask(found.raw, found.header, settings)
    except (CannotLoad, GgufError) as reason:
        told = _why(reason, "the one that runs here")
        raise InstallError(f"{name}: {told}. Nothing of it was fetched; choose another file of it") from None
    except (NotAtHand, NoAnswer):
        return


def _key(digest: str, settings: Settings) -> str:
    said = asdict(settings)
    return " ".join(
        [digest, *(f"{name}={said[name]}" for name in ("context", "parallel", "kv_type", "flash_attention"))]
    )


def _why(reason: Exception, engine: str) -> str:
    return f"this engine ({engine}) cannot load it: {reason}" if isinstance(reason, CannotLoad) else str(reason)
