"""Check everything that a person can write, on the controller, before a task runs on the machine: one list.

Ansible checks a role's arguments when that role starts. By then earlier roles have changed the machine, and only the
first role's mistakes are told. So the same argument specs are read here for all roles at once.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Mapping

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ..plugin_utils import gridtie_cloud_keys as cloud_keys
from ..plugin_utils import gridtie_collection as collection
from ..plugin_utils import gridtie_fleet_inputs as fleet
from ..plugin_utils import gridtie_ranges as ranges
from ..plugin_utils import gridtie_site_inputs as site

# The one in C where PyYAML has it, which takes a tenth of the time.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Names that tasks set while the playbook runs.
_FACTS = re.compile(r"gridtie_(resolved_.*|machine|station|docker|stage_note|stage_notices)$")


# Variables of earlier versions, which are still read: the new name, and what the values became.
_RENAMED = {"gridtie_require_pins": ("gridtie_pins", "true is require, false is learn")}


def load_specs(roles: Path) -> dict[str, dict[str, Any]]:
    """Every documented variable of every role: name to argument spec."""
    specs: dict[str, dict[str, Any]] = {}
    for file in sorted(roles.glob("*/meta/argument_specs.yml")):
        document = yaml.load(file.read_text(encoding="utf-8"), Loader=_SafeLoader)  # noqa: S506
        for entry_point in document["argument_specs"].values():
            specs.update(entry_point.get("options") or {})
    return specs


# What a secret variable may be, by the type in its spec: for Python, and for people.
_SECRET_TYPES = {"dict": (dict, "a mapping of names to keys"), "str": (str, "text")}


def check_types(specs: dict[str, dict[str, Any]], values: dict[str, Any]) -> list[dict[str, str]]:
    """One problem for each value that its spec does not allow."""
    problems = []
    for name, value in values.items():
        spec = {
            key: part for key, part in specs[name].items() if key not in ("description", "default", "version_added")
        }
        if spec.pop("no_log", False):
            # The validator's message would show the value.
            kind, words = _SECRET_TYPES[spec.get("type", "str")]
            if not isinstance(value, kind):
                found = f"{name} is a value of type {type(value).__name__}, which is not shown"
                problems.append({"found": found, "fix": f"set {name} to {words}"})
            continue
        for message in ArgumentSpecValidator({name: spec}).validate({name: value}).error_messages:
            wanted = specs[name].get("choices") or specs[name].get("type", "str")
            wanted = " or ".join(map(str, wanted)) if isinstance(wanted, list) else f"a value of type {wanted}"
            problems.append({"found": f"{name}: {message}", "fix": f"set {name} to {wanted}"})
    return problems


def check_names(known: set[str], given: set[str]) -> list[dict[str, str]]:
    """One problem for each of our variables that no role knows: a misspelt name would be without effect."""
    problems = []
    for name in sorted(given - known):
        if _FACTS.match(name) or name in _RENAMED:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        fix = f"did you mean {near[0]}?" if near else "remove it; the roles' READMEs list the variables"
        problems.append({"found": f"{name} is not a variable of any role", "fix": fix})
    return problems


def renamed(given: set[str]) -> list[str]:
    """A notice for each variable of an earlier version."""
    return [
        f"{name} is called {new} now ({values}), and still counts where {new} is not set"
        for name, (new, values) in _RENAMED.items()
        if name in given
    ]


def check_values(values: dict[str, Any]) -> list[dict[str, str]]:
    """Rules that a type cannot say."""
    problems = []
    problems += check_download(str(values.get("gridtie_models_max_download_gb", "auto")))
    former = values.get("gridtie_require_pins", False)
    if str(former).lower() not in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        problems.append(
            {"found": f"gridtie_require_pins is {former!r}", "fix": "set gridtie_pins to learn or require instead"}
        )
    lock = Path(str(values.get("gridtie_lock_file", "/"))).expanduser()
    if not lock.is_absolute():
        problems.append({"found": f"gridtie_lock_file is {str(lock)!r}", "fix": "give an absolute path"})
    problems += check_artefacts(str(values.get("gridtie_artefacts_file") or ""))
    at_once = str(values.get("gridtie_models_parallel", "auto"))
    if at_once != "auto" and not (at_once.isdigit() and int(at_once)):
        problems.append({"found": f"gridtie_models_parallel is {at_once}", "fix": "choose auto, or a number from 1 on"})
    project = str(values.get("gridtie_project", "gridtie"))
    # What Docker Compose takes as a project name.
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", project):
        problems.append(
            {
                "found": f"gridtie_project is {project!r}",
                "fix": "use lower-case letters, digits, - and _, and begin with a letter or digit",
            }
        )
    engine, station = values.get("gridtie_engine_user"), values.get("gridtie_user")
    if engine and engine == station:
        problems.append(
            {
                "found": f"gridtie_engine_user and gridtie_user are both {engine}: the engine could read keys",
                "fix": "give the engine a user of its own, or leave both variables out",
            }
        )
    for name in {"gridtie_config_dir", "gridtie_state_dir", "gridtie_prefix"} & values.keys():
        path = str(values[name])
        # Reset removes these directories with all that is in them: never /etc or /opt itself.
        if not path.startswith("/") or len(Path(path).parts) < 3 or ".." in Path(path).parts:
            problems.append(
                {"found": f"{name} is {path!r}", "fix": "give an absolute path of a directory for Gridtie alone"}
            )
    problems += check_checkpoint(values.get("gridtie_vllm_model")) + check_backups(values)
    return problems + check_traces(str(values.get("gridtie_traces_endpoint") or ""))


def check_checkpoint(model: Any) -> list[dict[str, str]]:
    """What vLLM is to serve; the role says the same once it has fetched vLLM itself."""
    if isinstance(model, dict):
        try:
            collection.package("gridtie.host.models.vllm_model").wanted_of(model)
        except ValueError as error:
            return [
                {"found": str(error), "fix": "correct gridtie_vllm_model: roles/engine_vllm/README.md has its keys"}
            ]
    return []


def check_traces(endpoint: str) -> list[dict[str, str]]:
    """Where traces are sent; nothing of the address is shown, which may hold a credential by mistake."""
    if endpoint:
        try:
            collection.package("gridtie.config.address").read(endpoint)
        except ValueError as error:
            found = f"gridtie_traces_endpoint {error}"
            return [{"found": found, "fix": "give the base URL of an OpenTelemetry collector: http://collector:4318"}]
    return []


def check_backups(values: dict[str, Any]) -> list[dict[str, str]]:
    """Where backups go to by themselves."""
    directory = str(values.get("gridtie_backup_directory") or "")
    # It becomes root's alone, and it stands in a unit of systemd between quotes.
    if (directory and not re.fullmatch(r"(/[^/\"\\%$\x00-\x1f]+){2,}/?", directory)) or ".." in Path(directory).parts:
        found = f"gridtie_backup_directory is {directory!r}"
        return [{"found": found, "fix": "give an absolute path of a directory for backups alone"}]
    project = values.get("gridtie_project", "gridtie")
    usual = {"gridtie_config_dir": "/etc", "gridtie_state_dir": "/var/lib", "gridtie_prefix": "/opt"}
    for name, above in usual.items() if directory else ():
        own, backups = Path(str(values.get(name) or f"{above}/{project}")), Path(directory)
        # In it, each backup would have those before it, or a reset take them along; above it, nobody else may pass.
        if own == backups or own in backups.parents or backups in own.parents:
            found = f"gridtie_backup_directory is {directory!r}, and {name} {str(own)!r}"
            return [{"found": found, "fix": "give it a directory apart from the station's, such as /srv/backups"}]
    return []


def check_download(limit: str) -> list[dict[str, str]]:
    """Whether the largest download is one; a run would say so when it comes to models."""
    try:
        collection.package("gridtie.host.models.standing").most_bytes(limit)
    except ValueError as error:
        return [{"found": str(error), "fix": "set gridtie_models_max_download_gb to one of these"}]
    return []


def check_kept_routing(text: str, name: str, pool: list[str]) -> tuple[list[dict[str, str]], list[str]]:
    """As `check_routing`, of a host's own routing file that stays in force; ``name`` says where it is."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "llm_routing.yaml"
        path.write_text(text, encoding="utf-8")
        problems, environments = check_routing(path, pool)
    told = [
        {
            "found": f"{entry['found'].replace(str(path), name)}; it was edited on the host, so it stays in force",
            "fix": f"{entry['fix']}; or give the edit up: -e gridtie_routing_edits=replace",
        }
        for entry in problems
    ]
    return told, environments


def check_routing(path: Path, pool: list[str]) -> tuple[list[dict[str, str]], list[str]]:
    """Every problem of the routing file, with file, line and key; and the environments that it knows.

    ``pool``: the hosts that it must have a provider for.
    """
    config = collection.package("gridtie.config.load")
    if not path.is_file():
        return [{"found": f"{path}: there is no such routing file", "fix": "correct gridtie_routing_file"}], []
    try:
        routing = config.load(path).routing
    except config.ConfigError as error:
        return _told(error, "correct the routing file"), []
    if pool and not any(provider.type == "pool" for provider in routing.providers.values()):
        found = f"gridtie_pool is set, and {path} has no provider of the type pool, so it would not be used"
        fix = "add `pool: {type: pool}` to its providers, as config/llm_routing.yaml has it"
        return [{"found": found, "fix": fix}], list(routing.environments)
    return [], list(routing.environments)


def check_artefacts(given: str) -> list[dict[str, str]]:
    """Every problem of the file that says what is pinned, with line and key; ``given`` is empty for the project's."""
    path = collection.artefacts_file(given)
    if not path.is_absolute():
        return [{"found": f"gridtie_artefacts_file is {given!r}", "fix": "give an absolute path"}]
    artefacts, problems = collection.package("gridtie.artefacts"), collection.package("gridtie.config.problems")
    try:
        artefacts.read(path)
    except problems.ConfigError as error:
        return _told(error, "write it as config/artefacts.yaml has it, or correct gridtie_artefacts_file")
    return []


def _told(error: Any, otherwise: str) -> list[dict[str, str]]:
    """The problems of a file, each with its place; ``otherwise`` is what to do where a problem does not say it."""
    problems = []
    for entry in error.problems:
        where = ":".join(str(part) for part in (entry.file, entry.line) if part)
        key = str(entry).partition(": ")[2].removesuffix(f"; {entry.fix}") if where else str(entry)
        problems.append({"found": f"{where}: {key}" if where else key, "fix": entry.fix or otherwise})
    return problems


def undeclared_proxies(environ: Mapping[str, str], values: Mapping[str, Any]) -> list[str]:
    """Proxies of this controller that the inventory does not name for a host: nothing of them reaches it."""
    names = ("http_proxy", "https_proxy")
    return [
        name for name in names if (environ.get(name) or environ.get(name.upper())) and not values[f"gridtie_{name}"]
    ]


def key_files(path: Path) -> dict[str, str | None]:
    """Of each provider of a sound routing file its ``key_file``."""
    from gridtie.config.load import load

    return {name: provider.key_file for name, provider in load(path).routing.providers.items()}


def kept_key_files(text: str) -> dict[str, str | None]:
    """The same of a host's own routing file that stays in force."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "llm_routing.yaml"
        path.write_text(text, encoding="utf-8")
        return key_files(path)


def check_keys(keys: Any, files: dict[str, str | None]) -> list[dict[str, str]]:
    """What is wrong with the keys of clouds; none of them is shown."""
    from gridtie.config.key_file import key_in

    return list(cloud_keys.problems(keys, files, key_in))


def check_models(values: dict[str, Any]) -> list[dict[str, str]]:
    """Every problem of the models that are asked for, and of the files that describe them."""
    from gridtie.catalogue.request import problems

    catalogue = values.get("gridtie_models_catalogue") or collection.ROOT / "config/models.yaml"
    lock = values.get("gridtie_models_lock") or collection.ROOT / "config/models.lock.yaml"
    return problems(values.get("gridtie_models", "auto"), Path(catalogue), Path(lock))


class ActionModule(ActionBase):
    """Returns ``problems``, a list of what is wrong and what to do, and ``key_files``, which provider's key belongs
    into which file of the configuration. Fails on nothing itself.
    """

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check names, types, values and the routing file, then this host against the others."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        specs = load_specs(collection.ROOT / "roles")
        given = {name for name in task_vars if name.startswith("gridtie_")}
        known = given & (specs.keys() | _RENAMED.keys())
        values = {name: self._templar.template(task_vars[name]) for name in sorted(known)}
        typed = {name: value for name, value in values.items() if name in specs}
        problems = check_names(set(specs), given) + check_types(specs, typed) + check_values(values)
        problems += ranges.problems(specs, typed)
        problems += check_models(values)
        # In the result, where the run's summary takes them from: a warning of an action is in no line of it.
        notices = renamed(given)
        undeclared = undeclared_proxies(os.environ, values) if self._connection.transport != "local" else []
        if undeclared:
            notices.append(
                f"this controller goes out by {' and '.join(undeclared)}, and hosts are not given what is a "
                f"controller's own: if they need a proxy, set "
                f"{' and '.join(f'gridtie_{name}' for name in undeclared)} for them in the inventory"
            )
        state, host = self._task.args.get("host_state") or {}, task_vars.get("inventory_hostname", "")
        routing = Path(os.path.normpath(values.get("gridtie_routing_file") or self._task.args["routing_file"]))
        pool = values.get("gridtie_pool") or []
        wrong, environments = check_routing(routing, pool)
        kept_text = ""
        if (edit := state.get("routing", "")) and differs(edit, routing):
            name, keep = f"{values['gridtie_config_dir']}/llm_routing.yaml", keeps_edits(values)
            notices.append((_KEPT if keep else _REPLACED).format(name=name, routing=routing))
            if keep:
                kept_text = edit
                kept, environments = check_kept_routing(edit, f"{host}:{name}", pool)
                wrong += kept
        if missed := fleet.not_looked_at(self._templar.template(task_vars.get("_preflight_elsewhere") or {})):
            notices.append(_NOT_LOOKED_AT.format(names=", ".join(missed)))
        hosts = task_vars.get("groups", {}).get("all", [])
        problems += wrong + site.problems(values, hosts, host, environments)
        keys = values.get("gridtie_secrets")
        declared = {} if wrong else key_files(routing)
        kept_files = kept_key_files(kept_text) if kept_text and not wrong else None
        problems += [] if wrong else check_keys(keys, {**declared, **(kept_files or {})})
        needed = needed_key_files(declared, kept_files, keys if isinstance(keys, dict) else {})
        placed = {name: place for name, file in needed.items() if (place := cloud_keys.place(file or ""))}
        others = fleet.Others(task_vars.get("hostvars", {}), hosts, task_vars.get("ansible_play_hosts_all", []))
        problems += fleet.problems(values, host, others, state, collection.version())
        if shut_out := fleet.kept_out(values, host, others):
            notices.append(_KEPT_OUT.format(host=host, names=", ".join(shut_out)))
        result.update(changed=False, problems=problems, notices=notices, key_files=placed)
        return result


# What a run says of each host whose routing file it leaves alone.
_KEPT = (
    "{name} was edited on this host and differs from {routing}: it stays in force (gridtie_routing_edits: keep). To "
    "take the edit over, copy it into that file; to give it up, -e gridtie_routing_edits=replace, which keeps a dated "
    "copy beside it. With --check --diff as well, the latter shows both and changes nothing."
)

_NOT_LOOKED_AT = (
    "this run makes a certificate authority, and {names} could not be asked for one that is known already. Where "
    "another controller has made one, stop here and share it: docs/team.md, Certificates."
)

_KEPT_OUT = (
    "{names} would ask {host} (gridtie_pool), and by the addresses of the inventory gridtie_firewall of {host} does "
    "not let them in: their requests stay on their own engines. Add them, unless they come from another address."
)

_REPLACED = (
    "{name} was edited on this host, and {routing} takes its place (gridtie_routing_edits: replace); a dated copy of "
    "the edited one stays beside it."
)


def needed_key_files(
    declared: Mapping[str, str | None], kept: Mapping[str, str | None] | None, given: Mapping[str, Any]
) -> dict[str, str | None]:
    """The key files of the routing file that is in force, ``kept`` where a host's own is; and those of the declared one
    whose keys are given, so that they are there when the edit is given up.
    """
    if kept is None:
        return dict(declared)
    return {**{name: file for name, file in declared.items() if name in given}, **kept}


def differs(edit: str, routing: Path) -> bool:
    """Whether a host's own routing file is another one than the one that was given."""
    return routing.is_file() and edit != routing.read_text(encoding="utf-8")


def keeps_edits(values: Mapping[str, Any]) -> bool:
    """Whether a host's own routing file stays in force."""
    return str(values.get("gridtie_routing_edits", "keep")) == "keep"
