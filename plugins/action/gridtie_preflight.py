"""Judge a host, and add to the one list what only the controller knows: which digests are missing, and where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase

from ..module_utils import gridtie_image_plan as plan
from ..module_utils.gridtie_judge import listing, problem
from ..plugin_utils import gridtie_bundle
from ..plugin_utils import gridtie_needed_pins as needs
from ..plugin_utils.gridtie_agreed import Learned, Lock, LockError, not_kept, read, record, take_over
from ..plugin_utils.gridtie_collection import ROOT, artefacts_file, installed, version
from ..plugin_utils.gridtie_image_tree import built_here
from ..plugin_utils.gridtie_model_group import group_of

# isort: split

from gridtie import artefacts
from gridtie.catalogue import CatalogueFileError, load, load_lock
from gridtie.catalogue.request import names_of, unpinned
from gridtie.config.problems import ConfigError
from gridtie.host.catalogue import Catalogue, CatalogueError, Pin, parse_lock
from gridtie.host.models.resolve import AUTO, merged_pins

# Who a lock says has learned what came with a bundle.
_BUNDLE = "bundle"
# The project of a station that is alone on its host: roles/station/defaults.
_USUAL = "gridtie"
_MEND = "put the file right, or back from where the inventory is kept, or use the version that wrote it"


class ActionModule(ActionBase):
    """Arguments: the module's, and ``pins``: ``mode``, ``lock_file``, ``usual`` (the lock's default place),
    ``project`` (the station's name), ``catalogue``, ``lock`` and ``artefacts`` (files of the project), ``models``,
    ``choose_again`` and ``gpu``, the variables.

    Returns what the module returns, and ``pins``: the ``mode`` in which the roles go on, and the host's ``former`` pins
    that no lock holds.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, judge, and fail with everything that stands in the way."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        given = arguments.pop("pins", None)
        bundle = _InBundle(arguments.pop("bundle", None) or {}, given or {})
        bundle.stand_in(arguments)
        answer = self._execute_module("gridtie.gridtie.gridtie_preflight", module_args=arguments, task_vars=task_vars)
        bundle.explain(answer)
        result.update(answer)
        if given is None or "former_pins" not in answer:
            return result
        problems = list(answer.get("problems") or []) + bundle.judge(answer)
        pins = _Pins(given, answer, task_vars or {}, self._connection.transport == "local", bundle.learned)
        problems += pins.judge()
        if not problems and not self._task.check_mode:
            problems += pins.take_over()
        if problems:
            return {**result, "failed": True, "msg": listing(problems), "problems": problems}
        result.update(pins=pins.handed_on(), notices=pins.notices)
        return result


class _InBundle:
    """The bundle that a host is made from; without one it judges nothing.

    ``given``: its ``directory``, whether ``drivers`` are to be installed and ``traces`` sent; ``pins``: the arguments
    about pins.
    """

    def __init__(self, given: Mapping[str, Any], pins: Mapping[str, Any]) -> None:
        self._drivers, self._pins = given.get("drivers", False), pins
        self._traces = bool(given.get("traces", False))
        self._bundle: gridtie_bundle.Bundle | None = None
        self._unreadable: list[dict[str, str]] = []
        self._left_open = False
        self.learned: Learned = {}
        if not given.get("directory"):
            return
        try:
            self._bundle = gridtie_bundle.read(str(given["directory"]))
        except gridtie_bundle.BundleError as error:
            self._unreadable = [error.problem]

    def stand_in(self, arguments: dict[str, Any]) -> None:
        """Have the module judge a machine that reaches what the bundle has."""
        if self._bundle:
            self._left_open = arguments["wanted"].get("engine") == "auto"
            arguments["wanted"] = self._bundle.asked(arguments["wanted"])
            arguments["machine"] = {**arguments["machine"], "reach": self._bundle.reach()}

    def explain(self, answer: dict[str, Any]) -> None:
        """Say why this engine, where nobody named one: the module was told that the bundle's was asked for."""
        choice = answer.get("choice") or {}
        if self._left_open and choice and choice["source"] != "adopted":
            answer["choice"] = {**choice, "why": "the bundle has it"}

    def judge(self, seen: Mapping[str, Any]) -> list[dict[str, str]]:
        """What is wrong with it, or lacks for this host and this version."""
        bundle = self._bundle
        if bundle is None:
            return self._unreadable
        problems = gridtie_bundle.unfit(bundle, seen["machine"], version()) or gridtie_bundle.damaged(bundle)
        if self._drivers:
            problems.append(
                problem(
                    "gridtie_gpu_install_drivers is true, and a bundle has no drivers of graphics cards",
                    "install them from a mirror of your own beforehand (docs/gpu.md), and leave the variable out",
                )
            )
        if problems:
            return problems
        try:
            self.learned = bundle.learned()
            return self._lacking(bundle, seen) if seen.get("choice") else []
        except gridtie_bundle.BundleError as error:
            return [error.problem]
        except (CatalogueFileError, ConfigError):
            return []  # What is pinned has its own line, among the inputs.

    def _lacking(self, bundle: gridtie_bundle.Bundle, seen: Mapping[str, Any]) -> list[dict[str, str]]:
        choice, machine = seen["choice"], seen["machine"]
        pinned = artefacts.read(artefacts_file(self._pins["artefacts"]))
        images = built_here(ROOT, pinned, choice, machine, str(self._pins["project"]), self._traces)
        needed = needs.of_engine(choice, machine, pinned, self._pins["gpu"], "packages")
        return gridtie_bundle.unmet(bundle, choice, images, [each.reference for each in needed])


class _Pins:
    """The lock and what this host needs of it."""

    def __init__(
        self,
        given: Mapping[str, Any],
        seen: Mapping[str, Any],
        task_vars: Mapping[str, Any],
        local: bool,
        bundled: Learned | None = None,
    ) -> None:
        """``bundled`` is what the lock of a bundle has."""
        self._given, self._seen, self._bundled = given, seen, bundled or {}
        self._host = str(task_vars.get("inventory_hostname", ""))
        # A host may carry several stations, each with records of its own.
        self._station = self._host if given["project"] == _USUAL else f"{self._host}/{given['project']}"
        hostvars = task_vars.get("hostvars")
        self._group = group_of(self._host, hostvars) if hostvars else ""
        self._sources = task_vars.get("ansible_inventory_sources") or []
        self._path = Path(str(given["lock_file"])).expanduser()
        self._artefacts = artefacts_file(given["artefacts"])
        self._require = given["mode"] == "require"
        self._why_lost = not_kept(self._path, Path(str(given["usual"])), local=local)
        self._former: Learned = {}
        self._lock = Lock()
        self.notices: list[str] = []

    def judge(self) -> list[dict[str, str]]:
        """Every problem with the lock, with what the host recorded before there was one, and with what is missing."""
        if not self._path.is_absolute():
            return []  # It has its own line, among the inputs.
        try:
            self._lock = read(self._path)
        except LockError as error:
            return [problem(str(error), f"{_MEND}; it was not touched")]
        former = [] if self._station in self._lock.taken_over else self._take_up_former()
        former += [
            problem(f"{conflict} ({self._path})", "make the bundle with this inventory's lock, or give up the entry")
            for conflict in self._lock.conflicts(self._bundled, _BUNDLE)
        ]
        try:
            return [*former, *self._missing(pinned := artefacts.read(self._artefacts)), *self._not_compiled(pinned)]
        except (CatalogueFileError, ConfigError):
            return former  # It has its own line, among the inputs.

    def take_over(self) -> list[dict[str, str]]:
        """Write into the lock, once, what the host recorded by itself, and what a bundle was made with."""
        if self._bundled and not self._why_lost:
            record(self._path, _BUNDLE, self._bundled)
        if not self._former or self._why_lost:
            return []
        try:
            take_over(self._path, self._station, self._former)
        except LockError as error:
            # Another host was first, a moment ago.
            self._lock = read(self._path)
            return self._take_up_former() or [problem(str(error), "correct pins.json on the host")]
        return []

    def handed_on(self) -> dict[str, Any]:
        """Where the lock is lost after the run, nothing may be learned any more: all that is needed is known."""
        return {"mode": "require" if self._require or self._why_lost else "learn", "former": self._former}

    def _take_up_former(self) -> list[dict[str, str]]:
        if self._seen.get("former_problem"):
            return [problem(f"{self._station}: {self._seen['former_problem']}", "repair it, or remove it on that host")]
        self._former = self._seen["former_pins"]
        return [
            problem(
                f"{conflict} ({self._path}); {self._station} recorded its own before there was a lock",
                "decide: to follow the lock, remove that entry from pins.json on the host (in gridtie_config_dir, or "
                "models in gridtie_state_dir); to follow the host, write its digest into the lock",
            )
            for conflict in self._lock.conflicts(self._former, self._station)
        ]

    def _missing(self, pinned: dict[str, Any]) -> list[dict[str, str]]:
        machine, choice = self._seen["machine"], self._seen.get("choice") or {}
        known = {kind: self._known(kind) for kind in ("images", "archives")}
        system = machine["system"]["id"]
        registry = (machine["reach"].get("registry") or {}).get("state") == "ok"
        may_learn = not (self._require or self._why_lost)
        base = plan.base_source(
            "registry" if registry or system not in pinned["bootstrap"] else "packages",
            pinned,
            system,
            may_learn or plan.base_image(pinned, system)["reference"] in known["images"],
        )
        needed = needs.of_engine(choice, machine, pinned, self._given["gpu"], base)
        self.notices = [
            f"{each.reference}: {self._artefacts} has another digest than {self._path}, and counts; remove it there"
            for each in needs.outranked(needed, known)
        ]
        lacking = needs.missing(needed, known) + [needs.Needed("models", name) for name in self._unpinned_models()]
        if self._require:
            checkout = not installed()
            return needs.required(lacking, str(self._path), self._learn_command(checkout), checkout=checkout)
        return needs.lost(lacking, self._undecided, self._why_lost, str(self._path)) if self._why_lost else []

    def _not_compiled(self, pinned: Mapping[str, Any]) -> list[dict[str, str]]:
        """A pinned version that would be compiled, where the collection's own Go module is that of another one."""
        choice = self._seen.get("choice") or {}
        wanted, here = (plan.compiled(document) for document in (dict(pinned), artefacts.read(artefacts_file())))
        if choice.get("engine") != "ollama" or choice.get("source") != "packages" or wanted == here:
            return []
        return [
            problem(
                f"{self._artefacts} pins Ollama {wanted}, and what is compiled from package sources here is {here} "
                f"({choice['why']})",
                f"take over ollama.packages and wheels.xllamacpp from {artefacts_file()}, or give this machine a way "
                "to Ollama's releases: gridtie_https_proxy, gridtie_mirror_url",
            )
        ]

    def _known(self, kind: str) -> dict[str, dict[str, str]]:
        return {
            **{reference: dict(digests) for reference, digests in self._former.get(kind, {}).items()},
            **{reference: dict(digests) for reference, digests in self._bundled.get(kind, {}).items()},
            **self._lock.digests(kind),
        }

    @property
    def _decided(self) -> list[str]:
        """The models that `auto` chose in an earlier run, as far as they are of the catalogue; of a new host its
        group's. What was added by hand is held to a digest of its own.
        """
        if self._given["choose_again"]:
            return []
        models = (self._seen.get("station") or {}).get("models") or []
        here = [str(model.get("catalogue", "")) for model in models if not model.get("added")]
        choice = self._lock.choices.get(self._group)
        return here or [pick.name for pick in (choice.picks if choice else ())]

    @property
    def _undecided(self) -> bool:
        return bool(self._given["models"] == AUTO and not self._decided)

    def _unpinned_models(self) -> list[str]:
        catalogue: Catalogue = load(Path(self._given["catalogue"] or ROOT / "config/models.yaml"))
        project = load_lock(Path(self._given["lock"] or ROOT / "config/models.lock.yaml"))
        learned = self._known("models")
        try:
            pins: Mapping[str, Pin] = merged_pins(project, parse_lock({"schema": 1, "models": learned}))
        except CatalogueError:
            return []
        asked = self._given["models"]
        return unpinned(self._decided if asked == AUTO else names_of(asked), catalogue, pins)

    def _learn_command(self, checkout: bool) -> str:
        files = [given for given in context.CLIARGS.get("extra_vars") or () if given.startswith("@")]
        words = [*(f"-i {source}" for source in self._sources), *(f"-e {file}" for file in files)]
        words += [f"--limit {self._host}", "-e gridtie_pins=learn"]
        told = " ".join(words)
        return f'make site ARGS="{told}"' if checkout else f"ansible-playbook gridtie.gridtie.site {told}"
