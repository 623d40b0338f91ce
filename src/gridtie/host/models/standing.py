"""What the playbook asks of this machine's models, as an order; and written down, so that a person can add a model
between two of its runs without asking for anything else anew.

The file is root's alone: it says which way out of the machine is declared, and a proxy's address may hold a password.
"""

from __future__ import annotations

import grp
import json
import pwd
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

from ..catalogue import CatalogueError, Pin, parse, parse_lock
from ..fit.agreed import Agreement, picks_in
from ..fit.placement import Budget
from ..json_file import read_json, write_json
from .download import Fetcher
from .engine_address import docker_command, reached
from .engine_server import find_server, identity
from .order import Directories, Order
from .owned import OwnedModels
from .served_speed import tokens_per_second
from .sources import Means

FILE = "order.json"
_SCHEMA = 1
# What is of one run alone, too large to be there twice (the catalogue lies beside the command), or a secret of others.
_OF_ONE_RUN = frozenset(
    [
        *("catalogue", "lock", "catalogue_file", "lock_file", "pip", "pip_addresses", "choose_again", "deep", "seed"),
        *("prune", "state", "lock_wait_s"),
    ]
)


class NoSuchOwner(ValueError):
    """A user or group that models are to belong to does not exist; the message names both."""


def order_of(
    given: Mapping[str, Any],
    catalogue: Mapping[str, Any],
    lock: Mapping[str, Any],
    *,
    budget: Callable[[], Budget],
    probe: Callable[[], Mapping[str, str]],
    install_pip: Optional[Callable[[], None]] = None,
    agree: Callable[[Mapping[str, Pin]], None] = lambda pins: None,
    say: Callable[[str], None] = lambda message: None,
) -> Order:
    """The order that the arguments of the module `gridtie_models` are. Raises CatalogueError, NoSuchOwner."""
    directories = directories_of(given)
    return Order(
        directories=directories,
        catalogue=parse(catalogue),
        lock=parse_lock(lock),
        models=given["models"],
        engine=given["engine"],
        means=Means(
            directories.incoming,
            given["registry"],
            Fetcher(given["ca_bundle"]),
            install_pip=install_pip,
        ),
        budget=budget,
        speeds=lambda: tokens_per_second(Path(given["ledger"])) if given["ledger"] else {},
        ollama_url=given["ollama_url"],
        probe=probe,
        parallel=given["parallel"],
        kv_type=given["kv_type"],
        flash_attention=given["flash_attention"],
        max_download=most_bytes(given["max_download_gb"]),
        engine_version=given["engine_version"],
        stock=given["stock"],
        purposes=tuple(dict.fromkeys(given["purposes"])),
        learned=parse_lock({"schema": 1, "models": given["learned"]}),
        require_pins=not given["learn"],
        choose_again=bool(given.get("choose_again")),
        agreed=_agreed(given.get("agreed") or {}),
        deep=bool(given.get("deep")),
        seed=Path(given["seed"]) if given.get("seed") else None,
        prune=bool(given.get("prune")),
        server=lambda: find_server(given.get("server") or {}, directories.root, docker_command(given["docker"])),
        engine_identity=identity(given.get("server") or {}),
        reach=lambda url: reached(url, given["container"], given["docker"]),
        accept_s=given["accept_s"],
        graphics=given["graphics"],
        agree=agree,
        say=say,
    )


def _agreed(told: Mapping[str, Any]) -> Optional[Agreement]:
    return Agreement(str(told["group"]), picks_in(told["models"])) if told else None


def directories_of(given: Mapping[str, Any]) -> Directories:
    """Raises NoSuchOwner."""
    owner = _owner(given["owner"], given["group"]) if given.get("owner") else None
    directories = Directories(Path(given["models_dir"]), owner, _adopted(given["adopted_store"]))
    if given.get("state") == "absent" and not directories.adopted:
        # After a reset nothing else tells whose store it was.
        return replace(directories, adopted=_adopted(OwnedModels(directories.owned).adopted))
    return directories


def most_bytes(limit: str) -> Optional[int]:
    """The limit in bytes; None where it follows the machine. Raises CatalogueError."""
    text = limit.strip()
    if text == "auto":
        return None
    most = float(text) if re.fullmatch(r"\d{1,6}(\.\d+)?", text) else None
    if most is None:
        wanted = "wanted: auto, or a number of GB (0: no limit)"
        raise CatalogueError(("gridtie_models_max_download_gb",), f"found {text!r}, {wanted}")
    return int(most * 1e9)


def save(given: Mapping[str, Any]) -> None:
    """Write down what is asked, where it is not what was written down before. Raises OSError."""
    path = Path(given["models_dir"]) / FILE
    kept = {key: value for key, value in given.items() if key not in _OF_ONE_RUN}
    # As it is read again.
    document = json.loads(json.dumps({"schema": _SCHEMA, "given": kept}))
    if read_json(path) != document:
        write_json(path, document, mode=0o600)


def load(models_dir: Path) -> dict[str, Any]:
    """What was written down. Raises OSError where it may not be read, ValueError for what no run of today wrote."""
    document = json.loads((models_dir / FILE).read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        raise ValueError(f"schema {_SCHEMA} wanted")
    return dict(document["given"])


def _adopted(store: str) -> Optional[tuple[Path, tuple[int, int]]]:
    """Somebody else's store and its owner; one that its engine has not made yet belongs to whom its directory does."""
    if not store:
        return None
    existing = Path(store)
    while not existing.exists():
        existing = existing.parent
    found = existing.stat()
    return Path(store), (found.st_uid, found.st_gid)


def _owner(owner: str, group: str) -> tuple[int, int]:
    try:
        account = pwd.getpwnam(owner)
        return account.pw_uid, grp.getgrnam(group).gr_gid if group else account.pw_gid
    except KeyError:
        raise NoSuchOwner(f"there is no user {owner} with group {group or owner} on this host") from None
