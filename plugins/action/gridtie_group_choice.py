"""Decide, once for a run, which models each group of the inventory runs, and write it into the lock."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.gridtie_judge import gpu_off, listing
from ..plugin_utils import gridtie_group_choice as decision
from ..plugin_utils.gridtie_agreed import Choice, LockError, choose, not_kept, read
from ..plugin_utils.gridtie_collection import artefacts_in, command
from ..plugin_utils.gridtie_model_group import group_of

# isort: split
from gridtie.catalogue import CatalogueFileError, load, load_lock
from gridtie.host.catalogue import Catalogue, CatalogueError, Pin, parse_lock
from gridtie.host.fit.agreed import Member
from gridtie.host.fit.budget import budget_for
from gridtie.host.fit.choice import unasked_download
from gridtie.host.machine.hardware import ProfileError, from_document
from gridtie.host.models.resolve import AUTO, Former, Known, Request, merged_pins, pinned_models
from gridtie.host.models.standing import most_bytes

# What is told of a host before its models are decided: a fact of the role models.
_FACT = "_models_member"


class ActionModule(ActionBase):
    """Arguments: ``lock_file``, ``usual`` (its default place), ``catalogue``, ``lock`` (the project's pins) and
    ``artefacts``, files on the controller.

    Returns ``agreed``, host to what its group runs; ``refused``, host to what stands in its way; and ``announcement``,
    the table.
    """

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Decide for all groups of the hosts that take part."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, task_vars = self._task.args, task_vars or {}
        path = Path(str(given["lock_file"])).expanduser()
        try:
            known = read(path)
            catalogue = load(Path(given["catalogue"]))
            facts = _Facts(task_vars, catalogue, load_lock(Path(given["lock"])), known.digests("models"))
            facts.engine_version = str(artefacts_in(str(given["artefacts"] or ""))["ollama"]["version"])
            settled = [facts.settled(name, known.choices.get(name)) for name in facts.groups]
        except (LockError, CatalogueFileError, CatalogueError) as error:
            raise AnsibleActionFail(str(error)) from error
        lost = not_kept(path, Path(str(given["usual"])), local=self._connection.transport == "local")
        notes = self._keep(path, settled, lost) if not self._task.check_mode else []
        return {
            **result,
            "changed": False,
            "agreed": dict(_agreed(settled)),
            "refused": {host: listing(list(problems)) for each in settled for host, problems in each.problems.items()},
            "announcement": "\n".join(filter(None, [decision.told(settled, catalogue), *notes])),
            "stage_note": decision.summary(settled),
        }

    def _keep(self, path: Path, settled: list[decision.Settled], lost: str) -> list[str]:
        """Write what is new into the lock; what to tell where it would not last."""
        new = {each.group.name: each for each in settled if each.new and each.lasting and each.choice}
        if new and lost:
            return [f"not written into the lock, which would not keep it: {lost}"]
        for name, each in new.items():
            try:
                lock = choose(path, {name: each.choice} if each.choice else {}, anew=each.group.again)
            except LockError as error:
                raise AnsibleActionFail(str(error)) from error
            if lock.choices[name] != each.choice:
                raise AnsibleActionFail(f"another run decided for the group {name} a moment ago: run again ({path})")
        return []


def _agreed(settled: list[decision.Settled]) -> Iterator[tuple[str, dict[str, Any]]]:
    for each in settled:
        for host in each.group.seen if each.choice else []:
            models = [pick.document() for pick in each.choice.picks] if each.choice else []
            yield host.name, {"group": each.group.name, "models": models}


class _Unusable(Exception):
    """Something that a person declared cannot be used. ``fix`` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class _Facts:
    """What the run knows of the hosts: the fact of those that were looked at, the inventory of all."""

    engine_version = ""

    def __init__(
        self,
        task_vars: Mapping[str, Any],
        catalogue: Catalogue,
        pins: Mapping[str, Pin],
        learned: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._hostvars = task_vars["hostvars"]
        self._inventory = task_vars["groups"]
        self._sources = [f"-i {source}" for source in task_vars.get("ansible_inventory_sources") or []]
        self._all = [str(name) for name in task_vars["groups"]["all"]]
        self._batch = set(task_vars.get("ansible_play_batch") or [])
        self._started = set(task_vars.get("ansible_play_hosts_all") or [])
        self._going = set(task_vars.get("ansible_play_hosts") or [])
        self._catalogue = catalogue
        self._pins = merged_pins(pins, parse_lock({"schema": 1, "models": dict(learned)}))
        # Plain data: what Ansible marks as coming from where cannot be written down.
        self._seen = {
            name: json.loads(json.dumps(fact))
            for name in self._all
            if name in self._going and (fact := self._hostvars[name].get(_FACT))
        }

    @property
    def groups(self) -> list[str]:
        """Those that a host of this run is of whose models are `auto`."""
        return list(dict.fromkeys(self._group(host) for host in self._seen))

    def settled(self, name: str, known: Choice | None) -> decision.Settled:
        """What comes of one group; ``known`` is what the lock has for it."""
        facts = [self._seen[host] for host in self._seen if self._group(host) == name]
        hosts = [self._host(host) for host in self._all if self._is_of(host, name)]
        again = any(fact["choose_again"] for fact in facts)
        group = decision.Group(name, hosts, tuple(facts[0]["purposes"]), known=known, again=again)
        try:
            group = replace(group, profile=self._declared(name, facts))
        except _Unusable as error:
            return decision.refused(group, str(error), error.fix)
        return decision.settle(group, self._catalogue, self._anew(group))

    def _declared(self, name: str, facts: list[dict[str, Any]]) -> Member | None:
        """The profile of a group, if it has one; raises _Unusable also where its hosts are declared to differ."""
        for key, variable in (("purposes", "gridtie_models_purposes"), ("profile", "gridtie_models_profile")):
            if any(fact[key] != facts[0][key] for fact in facts):
                raise _Unusable(
                    f"{variable} differs within the group {name}, whose hosts run the same models",
                    "set it for the whole group, or give those that differ a group of their own (gridtie_models_group)",
                )
        return self._profile(str(facts[0]["profile"]), facts[0]) if facts[0]["profile"] else None

    def _anew(self, group: decision.Group) -> str:
        """What is typed to choose anew for this group alone."""
        members = [host.name for host in group.hosts]
        limit = group.name if set(self._inventory.get(group.name, ())) >= set(members) else ",".join(members)
        return command("site", *self._sources, f"--limit {limit}", "-e gridtie_models_choose_again=true")

    def _is_of(self, host: str, group: str) -> bool:
        """Whether the choice is for it; of a host that was not looked at the inventory tells."""
        told = host in self._seen or self._hostvars[host].get("gridtie_models", AUTO) == AUTO
        return bool(told) and self._group(host) == group

    def _group(self, host: str) -> str:
        return group_of(host, self._hostvars, str((self._seen.get(host) or {}).get("group") or ""))

    def _host(self, name: str) -> decision.Host:
        fact = self._seen.get(name)
        if fact is None:
            # Of this run, and neither looked at nor yet to be: it is off, or something stands in its way.
            later = name in self._going and name not in self._batch
            return decision.Host(name, absent=later or name not in self._started)
        room = fact["room"]
        former = room.get("former")
        graphics = fact["graphics"] or {}
        idle = ", ".join(graphics.get("expected") or []) if self._on_cards(fact) and not graphics.get("backend") else ""
        return decision.Host(
            name,
            machine=self._member(name, fact, room["hardware"]),
            former=Former(former["models"], tuple(former["purposes"]), former["told"]) if former else None,
            here=frozenset(room["names"]),
            idle=idle,
        )

    def _profile(self, given: str, fact: Mapping[str, Any]) -> Member:
        """The machine of a recorded profile, which is looked at as the group's own hosts are."""
        path = Path(given).expanduser()
        try:
            hardware = json.loads(path.read_text(encoding="utf-8"))
            alike = {**fact, "room": {"names": [], "speeds": {}, "former": None}, "mac": _is_mac(hardware)}
            return self._member(f"the profile {path.name}", alike, hardware)
        except (OSError, ValueError, TypeError, ProfileError) as error:
            raise _Unusable(
                f"gridtie_models_profile: {path} cannot be used ({error})",
                "record one with `gridtie fit --json > FILE` on a machine like those of the group, and give its "
                "absolute path here",
            ) from error

    def _on_cards(self, fact: Mapping[str, Any]) -> bool:
        """Whether the engine would compute on graphics: upstream's builds have the libraries, and a Mac has Metal."""
        if gpu_off(fact["gpu"]):
            return False
        choice = fact["choice"]
        return choice["source"] in ("release", "adopted") or (choice["mode"] == "native" and bool(fact["mac"]))

    def _member(self, name: str, fact: Mapping[str, Any], hardware: Any) -> Member:
        budget = budget_for(from_document(hardware), self._on_cards(fact))
        room, choice, pins = fact["room"], fact["choice"], self._pins
        unreachable = self._unreachable(fact)
        limit = most_bytes(str(fact["max_download_gb"]))
        request = Request(
            AUTO,
            choice["engine"],
            int(fact["parallel"]),
            str(fact["kv_type"]),
            bool(fact["flash_attention"]),
            unasked_download(budget) if limit is None else limit,
            tuple(fact["purposes"]),
            self._version(fact),
            choice["source"] == "packages",
        )
        former = room.get("former") or {"models": {}}
        pinned = pinned_models(self._catalogue, pins, unreachable) if fact["pins"] == "require" else None
        known = Known(room["speeds"], frozenset(former["models"]))
        return Member(name, budget, request.wishes(unreachable, frozenset(room["names"]), pinned, known))

    def _version(self, fact: Mapping[str, Any]) -> str:
        """Of the engine that will run: a station's stays until it is upgraded."""
        station, choice = fact["station"] or {}, fact["choice"]
        if station.get("kind") == choice["engine"] and station.get("version"):
            return str(station["version"])
        if choice["engine"] != "ollama":
            return ""
        return str((choice.get("adopted") or {}).get("version") or self.engine_version)

    @staticmethod
    def _unreachable(fact: Mapping[str, Any]) -> dict[str, str]:
        """As the preflight found it; what it did not ask is left to the run to try."""
        found = fact["library"] or {}
        if found.get("state", "ok") == "ok":
            return {}
        return {"ollama": f"the model library {found.get('url', '')} does not answer ({found.get('detail', '')})"}


def _is_mac(document: Any) -> bool:
    hardware = document.get("hardware", document) if isinstance(document, Mapping) else {}
    return bool(hardware.get("metal_limit"))
