#!/usr/bin/python
"""The station's own key, the keys of its people, and those it has for other stations. None appears in the result."""

from __future__ import annotations

import datetime
import json
import pwd
from functools import partial
from pathlib import Path
from typing import Any, Mapping

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_audit, gridtie_files, gridtie_keys
from ..module_utils.gridtie_keys import Person
from ..module_utils.gridtie_machine import read_text

DOCUMENTATION = r"""
module: gridtie_keys
short_description: The keys of a station
description:
  - Makes the station's key once and writes it to C(station.key), its SHA-256 to C(keys.json).
  - Gives O(person) a copy of it, or takes that away.
  - Makes a key for each of O(people) and writes it into the person's home directory alone. The key of somebody who is
    no longer among them is forgotten, and with that refused. Keys that were added by hand stay.
  - Makes a key for each of O(pool), for which the other station gets its SHA-256.
  - Notes in the station's audit log which keys come, go and change.
options:
  config_dir:
    description: The station's configuration directory; it must be there.
    type: path
    required: true
  group:
    description: Group that may read the files.
    type: str
    required: true
  person:
    description: Who gets a copy, with C(uid), C(gid) and C(home).
    type: dict
  admin_copy:
    description: >-
      Whether O(person) gets the station's own key, which may do everything. Without it, a copy of that key is taken
      away; any other key stays.
    type: bool
    default: true
  copy_dir:
    description: Directory of the copy, below that home.
    type: str
    default: .config/gridtie
  people:
    description: >-
      Each with C(name), C(user) (the account on this machine), C(environments), C(admin), C(since), the day before
      which a key is too old, C(until), the last day on which it is good, and C(limits), as C(gridtie keys) has them.
    type: list
    elements: dict
    default: []
  pool:
    description: Other stations whose routers this one asks.
    type: list
    elements: str
    default: []
  pool_shared:
    description:
      - Whether all of O(pool) know this station by one key, for an engine that hands a request to any of them.
    type: bool
    default: false
  pool_since:
    description: The day before which a key for the pool is too old.
    type: str
    default: ""
  endpoint:
    description: The address that is written beside the copy.
    type: str
    required: true
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Make the station's key
  gridtie.gridtie.gridtie_keys:
    config_dir: /etc/gridtie
    group: gridtie
    endpoint: http://127.0.0.1:8484
"""
RETURN = r"""
created:
  description: Whether a new key was made.
  type: bool
  returned: always
relays:
  description: Of each key for O(pool) the SHA-256, by the other station's name.
  type: dict
  returned: always
new_relays:
  description: The stations for which a key was made now.
  type: list
  returned: always
copied_to:
  description: Where the person's copy is; empty where there is none.
  type: str
  returned: always
"""


def _copy(directory: str, key: str, endpoint: str) -> bool:
    """Runs as the person. The key is readable to nobody else."""
    Path(directory).mkdir(mode=0o700, exist_ok=True, parents=True)
    changed = False
    for name, content, mode in (("key", key + "\n", 0o600), ("endpoint", endpoint + "\n", 0o644)):
        path = f"{directory}/{name}"
        if read_text(path) != content or Path(path).stat().st_mode & 0o777 != mode:
            gridtie_files.write_atomically(path, content.encode(), mode)
            changed = True
    return changed


def _take_away(directory: str, key: str) -> bool:
    """Runs as the person. What is not the station's key is somebody's own."""
    if not _copied(directory, key):
        return False
    for name in ("key", "endpoint"):
        Path(directory, name).unlink(missing_ok=True)
    return True


def _copied(directory: str, key: str) -> bool:
    return read_text(f"{directory}/key").strip() == key


def _copy_differs(directory: str, key: str, endpoint: str) -> bool:
    return read_text(f"{directory}/key") != key + "\n" or read_text(f"{directory}/endpoint") != endpoint + "\n"


def _accounts(people: list[dict[str, Any]]) -> list[Person]:
    """Raises KeyError for an account that is not there."""
    found = []
    for person in people:
        account = pwd.getpwnam(person.get("user") or person["name"])
        found.append(
            Person(
                name=person["name"],
                environments=tuple(person.get("environments") or ["dev", "test"]),
                admin=bool(person.get("admin")),
                uid=account.pw_uid,
                gid=account.pw_gid,
                home=account.pw_dir,
                since=str(person.get("since") or ""),
                until=str(person.get("until") or ""),
                limits=None if person.get("limits") is None else _limits(person["limits"]),
            )
        )
    return found


def _limits(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are set, of the kinds that the router reads."""
    kinds = {"requests_per_minute": int, "tokens_per_minute": int, "usd_per_day": float, "usd_per_month": float}
    numbers = {name: kind(given.get(name) or 0) for name, kind in kinds.items()}
    limits = {**numbers, "models": [str(name) for name in given.get("models") or []]}
    return {name: value for name, value in limits.items() if value}


def _pool_keys(given: dict[str, Any], check: bool) -> tuple[list[dict[str, Any] | None], dict[str, str], list[str]]:
    """The changes, the SHA-256 of the key for each station, and the stations whose key is new."""
    changes, digests, new = [], {}, []
    paths = {name: f"{given['config_dir']}/secrets/pool-{name}" for name in given["pool"]}
    held = {name: _held(path, given["pool_since"]) for name, path in paths.items()}
    one = (next(filter(None, held.values()), "") or gridtie_keys.new_key()) if given.get("pool_shared") else ""
    for name, path in paths.items():
        key = one or held[name] or gridtie_keys.new_key()
        if key != held[name]:
            new.append(name)
        changes.append(_secret(path, key, given["group"], check))
        digests[name] = gridtie_keys.digest(key)
    wanted = {f"pool-{name}" for name in given["pool"]}
    secrets = Path(given["config_dir"], "secrets")
    gone = [path for path in secrets.glob("pool-*") if path.name not in wanted] if secrets.is_dir() else []
    changes += [gridtie_files.remove(str(path), check) for path in sorted(gone)]
    return changes, digests, new


def _held(path: str, since: str) -> str:
    """The key that is there; empty where it is none, or too old."""
    key, now = read_text(path).strip(), datetime.datetime.now(datetime.timezone.utc)
    return key if gridtie_keys.valid(key) and not gridtie_keys.too_old(_made(path), since, now) else ""


def _made(path: str) -> str:
    moment = datetime.datetime.fromtimestamp(Path(path).stat().st_mtime, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _secret(path: str, key: str, group: str, check: bool) -> dict[str, Any] | None:
    entry = {"path": path, "content": key + "\n", "mode": "0640", "owner": "root", "group": group, "secret": True}
    return gridtie_files.ensure_file(entry, check)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "config_dir": {"type": "path", "required": True},
            "group": {"type": "str", "required": True},
            "person": {"type": "dict"},
            "admin_copy": {"type": "bool", "default": True},
            "copy_dir": {"type": "str", "default": ".config/gridtie"},
            "endpoint": {"type": "str", "required": True},
            "people": {"type": "list", "elements": "dict", "default": []},
            "pool": {"type": "list", "elements": "str", "default": []},
            "pool_since": {"type": "str", "default": ""},
            "pool_shared": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given, check = module.params, module.check_mode
    key_file, keys_file = f"{given['config_dir']}/station.key", f"{given['config_dir']}/keys.json"
    key = read_text(key_file).strip()
    created = not gridtie_keys.valid(key)
    if created:
        key = gridtie_keys.new_key()
    with gridtie_keys.alone(given["config_dir"]):
        try:
            document = gridtie_keys.parse(read_text(keys_file))
        except gridtie_keys.KeyFileError as error:
            module.fail_json(
                msg=f"{keys_file}: {error}. Correct it, or move it away: then one with the station's key alone is "
                "written."
            )
        now = datetime.datetime.now(datetime.timezone.utc)
        wanted = gridtie_keys.with_station_key(document, key, now)
        try:
            people = _accounts(given["people"])
            held = {
                each.name: gridtie_keys.read_as_user(each.uid, each.gid, f"{each.home}/{given['copy_dir']}/key")
                for each in people
            }
            wanted, keys = gridtie_keys.with_people(wanted, people, held, now)
        except KeyError as error:
            module.fail_json(
                msg=f"gridtie_people: there is no account {error} on this machine; make it, or name another"
            )
        except gridtie_keys.KeyFileError as error:
            module.fail_json(msg=f"{keys_file}: {error}")
        text = json.dumps(wanted, indent=2) + "\n" if wanted != document else read_text(keys_file)
        entry = {"path": keys_file, "content": text, "mode": "0640", "owner": "root", "group": given["group"]}
        if wanted != document and not check:
            try:
                gridtie_audit.keys_changed(given["config_dir"], document, wanted)
            except OSError as error:
                module.fail_json(msg=f"{error.filename}: {error.strerror}; a change of keys is noted there first")
        changes = [_secret(key_file, key, given["group"], check), gridtie_files.ensure_file(entry, check)]
    pool, relays, new_relays = _pool_keys(given, check)
    done = [change for change in (*changes, *pool) if change]
    # Whoever has a key of his own does not get the station's, which may do everything.
    copies = [(each.uid, each.gid, each.home, keys[each.name]) for each in people]
    person, directory, copied = given["person"], "", False
    if person and Path(person["home"]).is_dir() and int(person["uid"]) not in {each.uid for each in people}:
        place = f"{person['home']}/{given['copy_dir']}"
        if given["admin_copy"]:
            directory = place
            copies.append((int(person["uid"]), int(person["gid"]), person["home"], key))
        elif check:
            copied = _copied(place, key)
        else:
            copied = gridtie_keys.as_user(int(person["uid"]), int(person["gid"]), partial(_take_away, place, key))
    for uid, gid, home, own in copies:
        place = f"{home}/{given['copy_dir']}"
        if check:
            copied = _copy_differs(place, own, given["endpoint"]) or copied
            continue
        try:
            copied = gridtie_keys.as_user(uid, gid, partial(_copy, place, own, given["endpoint"])) or copied
        except OSError as error:
            module.fail_json(msg=f"{place}: {error}")
    module.exit_json(
        changed=bool(done) or copied,
        created=created,
        copied_to=directory,
        relays=relays,
        new_relays=new_relays,
        diff=[change["diff"] for change in done],
    )


if __name__ == "__main__":
    main()
