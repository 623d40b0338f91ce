"""What is measured: how the router reaches a target, and where its engine is beside the router.

The router itself is asked where a request would go, by `POST /gridtie/route`, so that a target is found under whatever
alias and environment lead to it, and nothing of the routing file has to be understood twice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gridtie.bench.errors import BenchError
from gridtie.config.key_file import key_in
from gridtie.config.load import load_routing
from gridtie.config.names import PRIVATE
from gridtie.config.problems import ConfigError, closest
from gridtie.config.station import load_station
from gridtie.host.purpose_names import renamed
from gridtie.host.router import Declined
from gridtie.ledger.prices import Prices, PricesError
from gridtie.providers.registry import Targets
from gridtie.providers.target import Target

# The environments of the routing file that ships; a key's own first one is asked about before them.
_ENVIRONMENTS = (None, "dev", "test", "ci", "production")
# A prompt of this size fits wherever anything does.
_SMALL = 100


class Router(Protocol):
    """What is asked of the router beside requests; `host.router.Router` is one."""

    def get(self, path: str) -> Any: ...

    def post(self, path: str, body: Any) -> Any: ...


@dataclass(frozen=True)
class Route:
    """A request that the router sends to the target first: what to ask for, and what to say of it."""

    target: str
    locality: str
    context: int | None
    model: str
    environment: str
    tags: tuple[str, ...] = ()
    tools: bool = True
    # Every cloud that the router may send such a request to.
    clouds: tuple[str, ...] = ()
    # What marks our requests: they stand apart in every report, and save nothing.
    purpose: str = "bench"
    # What stood before the target and cannot be had now, with the reason.
    skipped: tuple[str, ...] = ()

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The router's headers that make this route."""
        told = {
            "x-gridtie-environment": self.environment,
            "x-gridtie-agent": _agent(self.purpose),
            "x-gridtie-purpose": self.purpose,
            "x-gridtie-tags": ",".join(self.tags),
        }
        return tuple((name, value) for name, value in told.items() if value)


def find_route(router: Router, wanted: str, environment: str | None = None, purpose: str = "bench") -> Route:
    """How the router reaches `wanted`: a target (`provider/model`), a model's own name, or an alias ("": its default).

    Raises `BenchError` where it does not, `Declined` and `Unreachable` as the router's client does.
    """
    asker = _Asker(router, purpose)
    listed = router.get("/v1/models").get("data", [])
    names = [str(row["id"]) for row in listed]
    if told := renamed(wanted, names):
        sys.stderr.write(f"{told}\n")
    refusals: list[str] = []
    for name in dict.fromkeys((wanted, *(names if "/" in wanted else ()))):
        for plan in _plans(asker, name, environment, refusals):
            first = plan["attempts"][0]
            if name != wanted and first["target"] != wanted:
                continue
            return _strictest(asker, first["target"], name, plan)
    raise BenchError(_nowhere(router, wanted, names, refusals))


def _plans(asker: _Asker, name: str, environment: str | None, refusals: list[str]) -> Iterator[Mapping[str, Any]]:
    """What the router would do with a request for `name`, in each environment that this key may claim."""
    for claimed in (environment,) if environment else _ENVIRONMENTS:
        try:
            plan = asker.plan(name, claimed)
        except Declined as error:
            if error.status != 403 or environment:
                refusals.append(str(error))
            continue
        if plan.get("attempts"):
            yield plan
        elif plan.get("refusal"):
            refusals.append(str(plan["refusal"]["message"]))


def _agent(purpose: str) -> str:
    return f"gridtie-{purpose}"


@dataclass(frozen=True)
class _Asker:
    """Asks the router where requests of one purpose would go."""

    router: Router
    purpose: str

    def plan(
        self, name: str, environment: str | None, tags: Sequence[str] = (), needs: Sequence[str] = ()
    ) -> Mapping[str, Any]:
        question = {
            "model": name,
            "environment": environment,
            "agent": _agent(self.purpose),
            "purpose": self.purpose,
            "stream": True,
            "tags": list(tags),
            "needs": list(needs),
            "prompt_tokens": _SMALL,
            "max_tokens": _SMALL,
        }
        answer: Mapping[str, Any] = self.router.post(
            "/gridtie/route", {key: each for key, each in question.items() if each}
        )
        return answer

    def try_plan(
        self, name: str, environment: str, tags: Sequence[str], needs: Sequence[str] = ()
    ) -> Mapping[str, Any] | None:
        try:
            return self.plan(name, environment, tags, needs)
        except Declined:
            return None


def _strictest(asker: _Asker, target: str, name: str, plan: Mapping[str, Any]) -> Route:
    """The route that leaves the router the least choice: a local model under its own id, and kept on the machine."""
    first = plan["attempts"][0]
    environment = str(plan["environment"])
    tags: tuple[str, ...] = ()
    if first["locality"] == "local":
        for other, claimed in ((target, (PRIVATE,)), (name, (PRIVATE,)), (target, ())):
            found = asker.try_plan(other, environment, claimed)
            if found is not None and found["attempts"] and found["attempts"][0]["target"] == target:
                name, tags, plan = other, claimed, found
                break
    with_tools = asker.try_plan(name, environment, tags, ("tools",))
    return Route(
        target=target,
        locality=str(first["locality"]),
        context=first.get("context"),
        model=name,
        environment=environment,
        tags=tags,
        purpose=asker.purpose,
        tools=bool(with_tools and with_tools["attempts"] and with_tools["attempts"][0]["target"] == target),
        clouds=tuple(each["target"] for each in plan["attempts"] if each["locality"] == "cloud"),
        skipped=tuple(f"{each['target']}: {each['reason']}" for each in plan["skipped"]),
    )


def _nowhere(router: Router, wanted: str, names: Sequence[str], refusals: Sequence[str]) -> str:
    if wanted in names or not wanted:
        reason = refusals[-1] if refusals else "it gave no reason"
        return f"the router sends {wanted or 'a plain request'} nowhere now: {reason}"
    known = ", ".join(names) or "none"
    near = closest(wanted, names)
    return (
        f"the router reaches no target {wanted!r}{f' ({near})' if near else ''}; name an alias or model that it has "
        f"({known}), or PROVIDER/MODEL of llm_routing.yaml that one of its aliases leads to"
    )


@dataclass(frozen=True)
class Beside:
    """The engine past the router; without a target, `why` says why it cannot be asked."""

    target: Target | None = None
    why: str = ""


@dataclass
class Configuration:
    """The router's configuration as far as this user may read it; `why` says why nothing of it is known."""

    targets: Targets | None = None
    why: str = ""
    # Quantisation of the station's models, its pool's among them, by the model's own name.
    quantisations: dict[str, str] = field(default_factory=dict)
    # Providers whose keys cannot be read.
    locked: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, directory: Path) -> Configuration:
        """Never raises: without it, only what the router says is known."""
        found = cls()
        try:
            routing = load_routing(directory / "llm_routing.yaml")
            station = load_station(directory / "station.json")
            members = station.pool if station else ()
            for model in (*(station.models if station else ()), *(each for one in members for each in one.models)):
                found.quantisations[model.name] = model.quantisation
            prices = Prices.load(directory / "prices.json")
            files = {each.key_file: name for name, each in routing.providers.items() if each.key_file}

            def read_secret(name: str) -> str:
                try:
                    return key_in((directory / name).read_bytes())
                except (OSError, ValueError):
                    found.locked.add(files.get(name, "pool"))
                    return "not-readable-here"

            found.targets = Targets.build(routing, station, read_secret=read_secret, pricing=prices)
        except (ConfigError, PricesError, OSError) as error:
            found.why = f"the router's configuration in {directory} cannot be read here: {str(error).splitlines()[0]}"
        return found

    def quantisation(self, route: Route) -> str:
        """Of the target's model; "" where the station does not say."""
        return self.quantisations.get(route.target.partition("/")[2], "") if route.locality == "local" else ""

    def beside(self, route: Route) -> Beside:
        """The target's own address. A cloud is never asked past the router: nobody would count what that costs."""
        if route.locality != "local":
            return Beside(why="a cloud is asked through the router alone, which counts what it costs")
        if self.targets is None:
            return Beside(why=self.why)
        target = self.targets.by_id.get(route.target)
        if target is None:
            return Beside(why=f"the configuration that can be read here has no target {route.target}")
        if target.provider in self.locked:
            return Beside(why=f"the key of {target.provider} cannot be read here")
        if target.dialect == "anthropic":
            return Beside(why="engines that speak Anthropic's dialect are asked through the router alone")
        return Beside(target)
