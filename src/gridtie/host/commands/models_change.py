"""`gridtie models add` and `remove`: one machine's own models, beside those that its inventory declares."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping

from gridtie.host.catalogue import CatalogueError
from gridtie.host.fit.budget import budget_for
from gridtie.host.fit.explain import explanation
from gridtie.host.fit.memory import GIB
from gridtie.host.fit.placement import Budget
from gridtie.host.gpu.devices import DeviceError, of_station
from gridtie.host.machine.detect import this_machine
from gridtie.host.machine.hardware import in_docker
from gridtie.host.machine.record import SpeedRecord, beside
from gridtie.host.models import standing
from gridtie.host.models.added import read_added
from gridtie.host.models.download import FetchError, shown
from gridtie.host.models.entries import Entry
from gridtie.host.models.hugging_face import is_hub_name, read_token
from gridtie.host.models.install import InstallError
from gridtie.host.models.install_all import check_disk
from gridtie.host.models.loaded import read_loaded
from gridtie.host.models.offer import Asked, Offer, Refused, look_at
from gridtie.host.models.order import ENGINES, Order
from gridtie.host.models.provision import Provisioned, provision
from gridtie.host.models.served import wait_until_served, write_served
from gridtie.host.models.store import own_name
from gridtie.host.paths import StationError, config_dir, read_station, state_dir


def register(below: Any) -> None:
    """Add both to the parser of `gridtie models`."""
    add = below.add_parser(
        "add",
        help="fetch a model and serve it, on this machine alone",
        description="Says what the model is and needs, asks, fetches it (resumed where it was interrupted), lets it "
        "answer, and has the router serve it under its name. Later runs of the playbook keep it. Needs sudo.",
    )
    add.add_argument(
        "name",
        metavar="NAME",
        help="a name of the catalogue or of the Ollama library, hf.co/OWNER/REPOSITORY:QUANTISATION, a URL, or a path",
    )
    add.add_argument("--context", type=int, default=0, metavar="TOKENS", help="default: 32K, else 16K, else 8K")
    add.add_argument("--name", dest="served_as", default="", metavar="MODEL:TAG", help="under which it is served")
    add.add_argument("--sha256", default="", metavar="HEX", help="what the file (of the library: the manifest) must be")
    add.add_argument("--token-file", type=Path, metavar="FILE", help="a token of Hugging Face, for gated models")
    add.add_argument("--yes", action="store_true", help="do not ask")
    add.set_defaults(run=run_add)
    remove = below.add_parser(
        "remove",
        help="take away a model that was added",
        description="Router and engine let go of it, and files that nothing else needs are removed. Needs sudo.",
    )
    remove.add_argument("name", metavar="NAME", help="as `gridtie models list` has it")
    remove.set_defaults(run=run_remove)


def run_add(args: argparse.Namespace) -> int:
    """0: it is served; 1: it cannot be, or the person said no. Raises StationError."""
    config = config_dir(os.environ)
    _check_engine(config)
    given = read_order(state_dir(os.environ) / "models")
    order, budget = _order(given, config)
    asked = Asked(
        args.name, _person(), time.strftime("%Y-%m-%d", time.gmtime()), _context(args.context), args.served_as,
        args.sha256.lower(), read_token(args.token_file), os.environ.get("HF_ENDPOINT", ""),
    )  # fmt: skip
    before = {str(model["catalogue"]): int(model["context"]) for model in read_station(config)["models"]}
    try:
        offer = look_at(asked, order, budget, before)
        check_disk(order.directories.store(order.engine), [_to_come(offer, order)])
    except (Refused, InstallError) as error:
        return _refused(error)
    sys.stdout.write(_told(offer, budget))
    if not (args.yes or _confirmed(offer.added.name)):
        return 1
    if asked.token and is_hub_name(asked.text):
        order = replace(order, means=replace(order.means, fetcher=replace(order.means.fetcher, token=asked.token)))
    try:
        done = provision(replace(order, add=[offer.added], serve=lambda models: write_served(config, models)))
    except (InstallError, FetchError) as error:
        return _refused(error)
    except KeyboardInterrupt:
        sys.stderr.write("\ngridtie: interrupted; what was fetched is kept, and the same command goes on from there\n")
        return 130
    except OSError as error:
        return _refused(f"{error.filename or order.directories.root}: {error.strerror or error}")
    status = _served(config, done, offer.added.name)
    mine = next(each.entry for each in read_added(order.directories.added) if each.name == offer.added.name)
    sys.stdout.write(f"Later runs keep it. On every machine of an inventory: gridtie_models: [{_as_yaml(mine)}]\n")
    return status


def run_remove(args: argparse.Namespace) -> int:
    """0: it is gone; 1: it is not one that was added. Raises StationError."""
    config = config_dir(os.environ)
    _check_engine(config)
    given = read_order(state_dir(os.environ) / "models")
    order, _ = _order(given, config)
    name = args.name.partition("/")[2] if args.name.startswith("gridtie/") else args.name
    try:
        added = {each.name for each in read_added(order.directories.added)}
        if name not in added:
            return _refused(_why_not_removed(name, added, read_station(config)["models"]))
        done = provision(replace(order, remove=frozenset([name]), serve=lambda models: write_served(config, models)))
    except InstallError as error:
        return _refused(error)
    except OSError as error:
        return _refused(f"{error.filename or order.directories.root}: {error.strerror or error}")
    return _served(config, done, name)


def _check_engine(config: Path) -> None:
    """What an engine before may have left written down is no order of this one. Raises StationError."""
    kind = str(read_station(config).get("engine", {}).get("kind", ENGINES[0]))
    if kind not in ENGINES:
        raise StationError(
            f"this station's engine is {kind}, which serves the one model that its inventory names "
            f"(gridtie_{kind}_model): change it there and run `make site`; nothing was changed here"
        )


def read_order(models_dir: Path) -> dict[str, Any]:
    """What the playbook asks of this machine's models. Raises StationError."""
    try:
        given = standing.load(models_dir)
    except PermissionError:
        given = None
    except FileNotFoundError:
        raise StationError(
            f"{models_dir / standing.FILE} is not there: no station of this version was set up here; run `make site`"
        ) from None
    except (OSError, ValueError) as error:
        raise StationError(
            f"{models_dir / standing.FILE} cannot be used: {error}; run `make site` to write it anew"
        ) from None
    if given is None or not os.access(models_dir, os.W_OK):
        raise StationError(f"{models_dir} may not be changed by this user: models are root's; run it with sudo")
    return given


def _order(given: Mapping[str, Any], config: Path) -> tuple[Order, Budget]:
    for name, value in (given.get("network") or {}).items():
        # The way out that the inventory declares; in both spellings, as programs read them.
        if value:
            os.environ.update({name.lower(): value, name.upper(): value})
    if given["ca_bundle"]:
        os.environ.setdefault("PIP_CERT", given["ca_bundle"])
    path = Path(given["catalogue_json"])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        hardware = this_machine(SpeedRecord(beside(path)), devices=of_station(read_station(config)))
        hardware = replace(hardware, loaded=read_loaded(config))
    except DeviceError as error:
        raise StationError(f"{error}; {error.fix}") from None
    except (OSError, ValueError) as error:
        raise StationError(f"{path} cannot be used: {error}; run `make site` to write it anew") from None
    memory = int(given["docker"].get("memory") or 0) if given["container"] else 0
    budget = budget_for(in_docker(hardware, memory), given["graphics"])
    try:
        order = standing.order_of(
            given,
            content["catalogue"],
            content["lock"],
            budget=lambda: budget,
            probe=lambda: _unreachable(order),
            say=_progress,
        )
    except (CatalogueError, standing.NoSuchOwner, KeyError) as error:
        raise StationError(f"what `make site` wrote down cannot be used: {error}; run it again") from None
    return replace(order, means=replace(order.means, progress=_progress)), budget


def _unreachable(order: Order) -> dict[str, str]:
    """Whether the library can be asked: any answer of a server will do."""
    url = order.means.registry.rstrip("/") + "/v2/"
    try:
        replace(order.means.fetcher, tries=1, stall_s=10.0).read(url)
    except FetchError as error:
        return {} if error.status else {"ollama": f"the model library does not answer ({error})"}
    return {}


def _to_come(offer: Offer, order: Order) -> dict[str, int]:
    """Bytes that the disk must hold; a file that is here already needs none."""
    pin = offer.added.entry.pin if offer.added.entry.own else offer.added.pin
    store = order.directories.store(order.engine)
    if pin.gguf and store.blob(f"sha256:{pin.gguf}").is_file():
        return {}
    return {offer.added.name: offer.model.file.bytes}


def _told(offer: Offer, budget: Budget) -> str:
    """What a person decides by."""
    model = offer.model
    lines = [explanation(offer.verdict, budget).rstrip("\n")]
    if not model.license.commercial:
        lines.append(f"  caution      its licence ({model.license.id}) forbids commercial use")
    entry = offer.added.entry
    source = shown(entry.gguf) if entry.gguf and entry.remote else entry.gguf or entry.ollama or model.name
    size = f"{model.file.bytes / 1e9:.2f} GB" if model.file.bytes >= 1e9 else f"{model.file.bytes / 1e6:.1f} MB"
    lines.append(f"  fetch        {size} ({offer.added.source}: {source})")
    lines.append(f"  served as    {model.name}, {entry.context} tokens of context, on this machine alone")
    return "\n".join(lines) + "\n"


def _confirmed(name: str) -> bool:
    if not sys.stdin.isatty():
        raise StationError("nobody can be asked here: say --yes to fetch it")
    sys.stdout.write(f"Fetch {name} and serve it? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _served(config: Path, done: Provisioned, name: str) -> int:
    """Wait until the router has it, and say what there is now."""
    model = next((model for model in done.models if model["catalogue"] == name), None)
    _progress("")
    for remark in done.remarks:
        sys.stdout.write(f"{remark}\n")
    late = wait_until_served(config, own_name(name), int(model["context"]) if model else None)
    if late:
        sys.stderr.write(f"gridtie: {name} is {'installed' if model else 'removed'}, and {late}\n")
        return 1
    if model is None:
        sys.stdout.write(f"{name} is no longer served\n")
        return 0
    needs = f", {model['predicted_bytes'] / GIB:.1f} GiB" if model["predicted_bytes"] else ""
    if checks := (model.get("acceptance") or {}).get("checks"):
        sys.stdout.write(f"shown here: {', '.join(f'{check} {outcome}' for check, outcome in checks.items())}\n")
    sys.stdout.write(f'served as "{name}": {model["context"]} tokens of context{needs}\n')
    return 0


def _as_yaml(entry: Entry) -> str:
    """How an inventory says it."""
    said = entry.document()
    if entry.gguf and entry.remote:
        said = {**said, "gguf": shown(entry.gguf)} if isinstance(said, dict) else said
    return said if isinstance(said, str) else f"{{{', '.join(f'{key}: {value}' for key, value in said.items())}}}"


def _why_not_removed(name: str, added: Any, models: Any) -> str:
    if any(model["catalogue"] == name for model in models):
        return f"{name} is declared or chosen by gridtie_models: take it out of the inventory, and `make site`"
    there = f"; there are {', '.join(sorted(added))}" if added else "; none was"
    return f"no model {name!r} was added on this machine{there}"


def _context(tokens: int) -> int:
    if tokens < 0:
        raise StationError(f"--context is {tokens}; wanted: a number of tokens")
    return tokens


def _person() -> str:
    """Who asks: with sudo the person behind it."""
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _progress(line: str) -> None:
    """On a terminal one line that changes; elsewhere nothing, since it changes twice a second."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line[:120]}")
        sys.stderr.flush()


def _refused(error: object) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"gridtie: {line}\n")
    return 1
