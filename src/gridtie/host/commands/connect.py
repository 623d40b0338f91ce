"""`gridtie connect`: clients are told of the station, and get back what they had."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any, Container, Iterator, List, Mapping, Optional, Sequence, Tuple

from gridtie.host.connect import client_key, misleading, written
from gridtie.host.connect.clients import BY_NAME, CLIENTS, Client
from gridtie.host.connect.wiring import HIDDEN, Wiring
from gridtie.host.origins import fault
from gridtie.host.paths import Endpoint, config_dir, find, home_of
from gridtie.host.printable import one_line, printable
from gridtie.host.purpose_names import FORMER_ALIASES, renamed
from gridtie.host.router import Router, send
from gridtie.host.table import table

# An agent's first question to a small machine's model.
_ANSWER_S = 600.0
# What stands behind such a name in a file of a person's is not ours to show.
_SECRET = re.compile(
    r"(?i)([\w.-]*(?:keys?|token|secret|password|passwd|credentials?|auth|authorization|cookie)[\"']?\s*[:=]\s*)"
    r"(\"(?:\\.|[^\"\\])+\"|'[^']+'|[^\s\"'\[{,}][^,}\n]*)|(?<=://)[^/\s@]+(?=@)|\b(?:sk|gt|ghp|hf)[-_][\w-]{8,}"
)


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser(
        "connect",
        help="connect a client or an editor to the station, and undo it",
        description="Without CLIENT: which clients are installed here and which are connected. With one, its settings "
        "are shown; nothing is changed without --write.",
        epilog=f"Clients: {', '.join(BY_NAME)}.",
    )
    parser.add_argument("client", nargs="?", choices=tuple(BY_NAME), metavar="CLIENT", help="one of those named below")
    parser.add_argument("--model", metavar="ALIAS", help="default: coder, else the first that the router lists")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--write", action="store_true", help="put the settings where the client reads them")
    doing.add_argument("--restore", action="store_true", help="give back what was there before --write")
    doing.add_argument("--check", action="store_true", help="ask one question through the client itself")
    parser.add_argument(
        "--origin",
        action="append",
        metavar="ORIGIN",
        help="of the client's pages, where its requests come from a browser, such as http://localhost:3000; may be "
        "given more than once",
    )
    parser.add_argument("--shared-key", action="store_true", help="use your own key instead of one for this client")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """As asked; 1 where a check fails, 2 where something cannot be written or found."""
    home = home_of(os.environ)
    try:
        if args.client is None:
            sys.stdout.write(_overview(home) + "\n")
            return 0
        client = BY_NAME[args.client]
        if args.write or args.restore or args.check:
            _as_oneself(home)
        if args.restore:
            return _restore(client, home)
        if args.check:
            return _check(client, home)
        return _connect(client, args, home)
    except written.NotWritten as error:
        sys.stderr.write(f"gridtie: {error}\n")
        return 2


def _connect(client: Client, args: Namespace, home: Path) -> int:
    endpoint = find(os.environ, home)
    wiring = replace(_wiring(endpoint, args.model, os.environ), origins=_origins(client, args.origin))
    obstacle = _not_served(client, wiring)
    if obstacle:
        sys.stderr.write(f"gridtie: {obstacle}\n")
        return 2
    for warning in _warnings(client, wiring, home):
        sys.stderr.write(f"warning: {warning}\n")
    files = client.files(home, os.environ)
    if not files and not (args.write and wiring.origins):
        if args.write:
            sys.stderr.write(f"gridtie: {client.title} keeps its settings where no program should write; by hand:\n")
        sys.stdout.write("\n".join([*client.notes(wiring.hidden()), *_would_let_in(wiring)]) + "\n")
        return 2 if args.write else 0
    try:
        changes = written.plan(files, wiring.hidden())
    except written.NotWritten:
        for path, form in files:
            sys.stdout.write(f"What would be in {path}:\n{form.put_in('', wiring.hidden())}\n")
        raise
    sys.stdout.write("".join(_shown(change) for change in changes))
    if not args.write:
        sys.stdout.write("".join(f"{line}\n" for line in _would_let_in(wiring)))
        sys.stdout.write(f"Nothing was written. With --write it is, and --restore takes it back; {HIDDEN} is a key.\n")
        return 0
    with written.alone(_record(home, client)):
        return _write(client, wiring, endpoint, home, shared=args.shared_key)


def _write(client: Client, wiring: Wiring, endpoint: Endpoint, home: Path, *, shared: bool) -> int:
    files, record = client.files(home, os.environ), _record(home, client)
    old = written.wired(record)
    if old:
        written.restore(record, [form for _, form in files])
        _end_key(old, record)
    told = replace(wiring, at=time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()))
    written.check(written.plan(files, told))
    own = None if shared else _own_key(record, client, told)
    if not own and not files:
        written.forget(record)
        raise written.NotWritten(_not_let_in(wiring.origins))
    told = own or replace(told, origins=())
    changes = written.plan(files, told)
    written.write(record, changes, told)
    whose = f"a key of its own, {told.key_name}" if own else f"the key of {endpoint.source}"
    sys.stdout.write(f"{client.title}: connected to {told.root}, for {told.model}, with {whose}.\n")
    if not own and not shared:
        sys.stderr.write("warning: no key of its own could be made (root's to do, by sudo), so this one is shared\n")
    for path in written.open_to_others(changes):
        sys.stderr.write(f"warning: every user of this machine may read {path}, and a key is in it: chmod 600 {path}\n")
    if not own and wiring.origins:
        sys.stderr.write(f"warning: {_not_let_in(wiring.origins)}\n")
    if told.origins:
        sys.stdout.write(f"Pages of {', '.join(told.origins)} may ask as long as that key is there.\n")
    # What no file has must be typed.
    next_steps = [
        *client.notes(told.hidden() if files else told),
        f"Back to what it was: gridtie connect {client.name} --restore",
    ]
    sys.stdout.write("\n".join(next_steps) + "\n")
    return 0


def _own_key(record: Path, client: Client, told: Wiring) -> Optional[Wiring]:
    """The wiring with a key for this client alone; None where none can be had that this router takes.

    Its name is noted before it is made, so that it can be ended whenever this is cut short.
    """
    directory = config_dir(os.environ)
    name = client_key.free_name(directory, client_key.name_of(client.name))
    if not name:
        return None
    noted = replace(told, key="", key_name=name, station=str(directory))
    written.begin(record, noted)
    key = client_key.made(directory, name, told.origins)
    if not key:
        return None
    own = replace(noted, key=key)
    written.begin(record, own)
    if send("GET", f"{told.root}/v1/models", headers={"Authorization": f"Bearer {key}"}).status == 401:
        # The router is another machine's: what is made here is none of its keys.
        client_key.ended(own, directory)
        return None
    return own


def _restore(client: Client, home: Path) -> int:
    record = _record(home, client)
    wiring = written.wired(record)
    if not wiring:
        kept = written.left_behind(client.files(home, os.environ))
        if kept:
            raise written.NotWritten(
                f"{kept[0]} is there, and {record} is not: take it back with the HOME and XDG_STATE_HOME of --write"
            )
        sys.stdout.write(f"{client.title}: not connected, nothing to take back.\n")
        return 0
    with written.alone(record):
        edited = written.restore(record, [form for _, form in client.files(home, os.environ)])
        for path in edited:
            sys.stdout.write(f"{path} was changed after it was connected: only our settings were taken out.\n")
        _end_key(wiring, record)
    back = "" if edited else ", the settings are as they were before"
    sys.stdout.write(f"{client.title}: not connected any more{back}.\n")
    return 0


def _end_key(wiring: Wiring, record: Path) -> None:
    if wiring.key_name and not client_key.ended(wiring, config_dir(os.environ)):
        sys.stderr.write(f"warning: its key still works; end it: sudo gridtie keys revoke {wiring.key_name}\n")
    written.forget(record)


def _check(client: Client, home: Path) -> int:
    record = _record(home, client)
    wiring = written.wired(record)
    if not wiring:
        sys.stderr.write(f"gridtie: {client.title} is not connected; gridtie connect {client.name} --write\n")
        return 2
    program = shutil.which(client.program) if client.program else None
    if not program:
        missing = client.program or "a program of its own"
        sys.stderr.write(f"gridtie: {client.title} cannot be asked here: there is no {missing}\n")
        return 2
    words = [word.replace("{model}", wiring.model) for word in client.ask]
    seen = {row["id"] for row in _asked(wiring)}
    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(
                [program, *words], cwd=empty, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=_ANSWER_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            sys.stderr.write(f"gridtie: {client.title} gave no answer within {_ANSWER_S:g} s\n")
            return 1
    sys.stdout.write(printable(done.stdout.strip()[-2000:]) + "\n")
    if done.returncode != 0:
        sys.stderr.write(
            f"{printable(done.stderr.strip()[-2000:])}\ngridtie: {client.title} ended with {done.returncode}\n"
        )
        return 1
    return _arrived(client, wiring, seen)


def _asked(wiring: Wiring) -> List[Mapping[str, Any]]:
    """The latest requests of the client's key."""
    found: List[Mapping[str, Any]] = Router(wiring.root, wiring.key).get("/gridtie/requests?last=100")["requests"]
    return found


def _arrived(client: Client, wiring: Wiring, seen: Container[str]) -> int:
    """A client may end well without an answer, or with that of another server: the ledger knows."""
    new = [row for row in _asked(wiring) if row["id"] not in seen]
    good = next((row for row in new if row["status"] < 400), None)
    if good:
        served = good.get("target") or "nothing"
        sys.stdout.write(
            f"{client.title} asked {wiring.root} for {good['asked']}; {one_line(served)} answered ({good['id']}).\n"
        )
        return 0
    what = f"its request failed ({new[0].get('code') or new[0]['status']})" if new else "no request of its key came"
    sys.stderr.write(f"gridtie: {client.title} ended well, and at {wiring.root} {what}; gridtie requests\n")
    return 1


def _as_oneself(home: Path) -> None:
    """Raise NotWritten under sudo: it would connect root's home, or leave root's files in somebody else's."""
    person = os.environ.get("SUDO_USER", "root")
    if os.geteuid() == 0 and (person != "root" or (home.exists() and home.stat().st_uid != 0)):
        raise written.NotWritten(
            f"as root this would write to {home}: run it as yourself, without sudo, which it asks for the key alone "
            "(as root for root: env -u SUDO_USER HOME=/root gridtie connect ...)"
        )


def _wiring(endpoint: Endpoint, wanted: Optional[str], environ: Any) -> Wiring:
    rows = Router(endpoint.url, endpoint.key).get("/v1/models")["data"]
    names = [row["id"] for row in rows]
    model = wanted or ("coder" if "coder" in names or not names else names[0])
    if told := renamed(model, names):
        sys.stderr.write(f"{told}\n")
        model = FORMER_ALIASES[model.lower()]
    if not re.fullmatch(r"[\w./:@+-]+", model):
        raise written.NotWritten(f"{model!r} is no name that can be written everywhere; take another (--model)")
    row = next((row for row in rows if row["id"].lower() == model.lower()), None)
    if row is None:
        sys.stderr.write(f"warning: the router lists no {model}; it has {', '.join(names)}\n")
    context = ((row or {}).get("gridtie") or {}).get("context") or 0
    known = ((row or {}).get("gridtie") or {}).get("capabilities")
    return Wiring(endpoint.url, endpoint.key, model, int(context), tools=not known or "tools" in known)


def _origins(client: Client, given: Optional[Sequence[str]]) -> Tuple[str, ...]:
    """Those that were given, else the client's usual ones. Raises NotWritten for what cannot be declared."""
    for origin in given or ():
        what, fix = fault(origin.lower())
        if what:
            raise written.NotWritten(f"the origin {origin[:200]!r} cannot be declared: {what}; {fix}")
    return tuple(given) if given else client.origins


def _would_let_in(wiring: Wiring) -> Iterator[str]:
    if wiring.origins:
        yield (
            f"Its pages ask from {', '.join(wiring.origins)}: --write lets these in, with a key of its own "
            "(--origin names others)."
        )


def _not_let_in(origins: Sequence[str]) -> str:
    return (
        f"pages of {', '.join(origins)} are not let in, which goes with a key of its own (root's to make, by sudo); "
        "else name them in defaults.allowed_origins of llm_routing.yaml"
    )


def _not_served(client: Client, wiring: Wiring) -> str:
    """Why this router cannot serve the client; "" where it can."""
    answer = send("GET", wiring.root + client.path, headers={"Authorization": f"Bearer {wiring.key}"})
    if answer.status != 404:
        return ""
    return f"{client.title} asks for {client.path}, which this router does not serve; upgrade it (git pull, make site)"


def _warnings(client: Client, wiring: Wiring, home: Path) -> Iterator[str]:
    if 0 < wiring.context < client.opens_with:
        yield (
            f"{client.title} opens with {client.opens_with:,} tokens or so and {wiring.model} takes "
            f"{wiring.context:,}: "
            "its requests will be refused, or go to a cloud where there is one. Take another alias (--model), or a "
            "model with more context (gridtie fit --for agents)"
        )
    if client.tools and not wiring.tools:
        yield (
            f"{client.title} sends tools {client.tools}, and {wiring.model} calls none: such requests will be refused, "
            "or go to a cloud where there is one. Take another alias (--model), or a model with tools (gridtie fit "
            "--for agents)"
        )
    for lead in misleading.leads(client.name, wiring.root, os.environ, home):
        yield f"{lead.name} leads to {lead.host} ({lead.where}) and may count for more than what is written here"
    if misleading.only_the_old_name(client.name, os.environ):
        yield "OPENAI_API_BASE alone is set, which OpenAI's SDK does not read: it would ask api.openai.com"


def _overview(home: Path) -> str:
    rows: List[Sequence[str]] = []
    for client in CLIENTS:
        found = shutil.which(client.program) if client.program else None
        installed = found or ("" if client.program else "-")
        rows.append((client.name, client.title, installed, _state(client, home)))
    return table(("CLIENT", "NAME", "INSTALLED", "CONNECTED"), rows)


def _state(client: Client, home: Path) -> str:
    record = _record(home, client)
    wiring = written.wired(record)
    if not wiring:
        return "by hand" if client.by_hand else ""
    changed = ", changed since" if written.changed_since(record) else ""
    pages = f", pages of {', '.join(wiring.origins)}" if wiring.origins else ""
    return f"{wiring.model} at {wiring.root}{changed}{pages}"


def _shown(change: written.Change) -> str:
    before = (change.before or "").splitlines(keepends=True)
    after = change.after.splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, str(change.path), str(change.path), n=1)
    return "".join(_SECRET.sub(_dots, line if line.endswith("\n") else line + "\n") for line in lines)


def _dots(found: "re.Match[str]") -> str:
    name, value = found[1] or "", found[2] or ""
    if value.strip("\"' ") == HIDDEN:
        return found[0]
    quote = value[0] if value[:1] in ("'", '"') else ""
    return f"{name}{quote}...{quote}"


def _record(home: Path, client: Client) -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state")
    return state / "gridtie" / "connect" / f"{client.name}.json"
