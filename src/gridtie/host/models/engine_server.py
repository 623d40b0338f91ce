"""The engine's own llama-server, wherever the engine runs, and what it says of a model by the header alone.

It parses what strangers wrote: it is run as the engine's user, in the engine's container where there is one.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from ..fit.header import Header
from ..fit.memory import Need, Settings
from .dry_run import ANSWER_S, NoAnswer, dry_run, write_header_only

# Where the images have it (compose/images/engine/Dockerfile; upstream's has Ollama's layout as well).
_IN_CONTAINER = {"ollama": "/usr/lib/ollama/llama-server", "embedded": "/opt/gridtie-engine/bin/llama-server"}
# Where the models lie in the container (compose/compose.yaml).
_MODELS = "/models"
# Of an Ollama that somebody else installed: what its own installer and packages use.
_USUAL_TREES = ("/usr/local/lib/ollama", "/usr/lib/ollama", "/opt/ollama/lib/ollama")

# Where a file lies while it is looked at. One that is older than a look can last is of somebody who was killed at it.
_LAID_OUT = ".gridtie-asked-"
_STALE_S = 2 * ANSWER_S

# Runs in the container, where what is started outlives the client that started it. So the end of the standard input,
# which comes with the client's own end however that comes, ends the server; if nothing else does, a minute and a half.
_UNTIL_STDIN_ENDS = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ timeout 90 cat <&3 >/dev/null; kill -9 $server; } >/dev/null 2>&1 &
exec 3<&-
wait $server
"""


class NotAtHand(Exception):
    """The engine cannot be asked from here; the message says why, as a clause."""


@dataclass(frozen=True)
class EngineServer:
    """The engine `name`; `command` starts its server. A file that it is to look at is put into `folder`, which it sees
    as `seen`. `account` is the user and group that it runs as, None where its container says so.
    """

    name: str
    command: Sequence[str]
    folder: Path
    seen: str
    account: Optional[tuple[int, int]] = None

    def ask(self, raw: bytes, header: Header, settings: Settings) -> Need:
        """What it would reserve for the model of that header, given as bytes as well. Raises CannotLoad, NoAnswer."""
        _clear(self.folder)
        try:
            with tempfile.TemporaryDirectory(prefix=_LAID_OUT, dir=self.folder) as name:
                path = Path(name) / "model.gguf"
                write_header_only(raw, header, path)
                Path(name).chmod(0o755)
                path.chmod(0o644)
                seen = f"{self.seen}/{path.parent.name}/{path.name}"
                return dry_run(self.command, seen, settings, account=self.account)
        except OSError as error:
            raise NoAnswer(f"a file of {header.file_bytes} bytes cannot be laid out: {error.strerror}") from None


def find_server(engine: Mapping[str, Any], models: Path, docker: Sequence[str] = ("docker",)) -> EngineServer:
    """The server of the engine that `engine` describes, as station.json does; `models` are the station's, `docker`
    is the command that reaches its Docker. Raises NotAtHand.
    """
    kind = str(engine.get("kind", ""))
    name = f"{kind} {engine.get('version', '')}".strip()
    if engine.get("mode") == "container":
        container = str(engine.get("container") or "")
        if not container or kind not in _IN_CONTAINER or not models.is_dir():
            raise NotAtHand("no container of the engine is known")
        if not os.access(models, os.W_OK):
            raise NotAtHand(f"this user may put no file into {models}, which the engine's container sees: use sudo")
        command = [*docker, "exec", "-i", container, "sh", "-c", _UNTIL_STDIN_ENDS, "sh", _IN_CONTAINER[kind]]
        return EngineServer(name, command, models, _MODELS)
    folder = Path(tempfile.gettempdir())
    account = _account(engine)
    if account is not None and os.geteuid() != 0:
        raise NotAtHand("only root can start it as the engine's user: use sudo")
    return EngineServer(name, [str(_native(engine))], folder, str(folder), account)


def identity(engine: Mapping[str, Any]) -> str:
    """What tells one build of an engine from another."""
    return " ".join(str(engine[key]) for key in ("kind", "version", "image", "tree") if engine.get(key))


def _clear(folder: Path) -> None:
    """Remove what was left there by who was killed while asking; what another user left is that one's."""
    now = time.time()
    for left in folder.glob(f"{_LAID_OUT}*"):
        with suppress(OSError):
            found = left.lstat()
            if found.st_uid == os.geteuid() and now - found.st_mtime > _STALE_S:
                shutil.rmtree(left)


def _native(engine: Mapping[str, Any]) -> Path:
    tree = str(engine.get("tree") or "")
    places = [f"{tree}/lib/ollama"] if tree else _USUAL_TREES
    found = next((path for path in (Path(place, "llama-server") for place in places) if path.is_file()), None)
    if found is None:
        raise NotAtHand(f"its llama-server was not found in {', '.join(places)}")
    return found


def _account(engine: Mapping[str, Any]) -> Optional[tuple[int, int]]:
    """The engine's user and group; None where that is who asks, as on a Mac."""
    user = str(engine.get("user") or "")
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise NotAtHand("it is not known which user the engine runs as: run `make site` once") from None
    return None if found.pw_uid == os.geteuid() else (found.pw_uid, found.pw_gid)
