"""All targets there are: the routing file's providers and the station's models, resolved once at load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from gridtie.config.names import canonical
from gridtie.config.problems import ConfigError, Problem, listed
from gridtie.config.redact import path_or_nothing
from gridtie.config.schema import Locality, Model, OwnRetries, OwnTimeouts, Price, Provider, Routing
from gridtie.config.station import Member, Shown, Station, StationModel
from gridtie.dialects.types import Usage
from gridtie.host.purpose_names import FORMER_ALIASES, current_purpose
from gridtie.providers import local
from gridtie.providers.cloud import limit_field
from gridtie.providers.pool import OWN_PURPOSE, Pair, members, order
from gridtie.providers.target import CAPABILITIES, Target
from gridtie.providers.wire import Headers, auth_headers, base_url, probe_url

_RUN_AGAIN = "run `ansible-playbook site.yml` again: it makes the key and hands it over"

# key_file -> the key in it. Raises OSError or ValueError with a reason.
ReadSecret = Callable[[str], str]


class Pricing(Protocol):
    """What tokens cost; `ledger.prices.Prices` is one."""

    def cost(self, ref: str, usage: Usage, overrides: Mapping[str, Price] | None = None) -> float | None:
        """US dollars for `usage` at "provider/model"; None where no price is known."""
        ...


class Share(msgspec.Struct, frozen=True):
    """A target's part of the requests that reach its place; those of one group share it, and 0 gets none."""

    group: int
    weight: int


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """What an alias, or a local model's own name, can be served by."""

    name: str
    local: tuple[Target, ...] = ()
    cloud: tuple[Target, ...] = ()
    min_score: float | None = None
    baseline: str = ""
    # Every name that means the same, in canonical form: a rule about one of them is about all.
    names: frozenset[str] = frozenset()
    # Why there is no local or no cloud target; "" where there is one.
    no_local: str = ""
    no_cloud: str = ""
    # By target id: of those alone that have a weight.
    shares: Mapping[str, Share] = {}
    timeouts: OwnTimeouts = OwnTimeouts()
    retries: OwnRetries = OwnRetries()

    def drained(self, target: Target) -> bool:
        """Whether its weight here is 0."""
        share = self.shares.get(target.id)
        return share is not None and share.weight == 0

    def first_place(self, targets: Sequence[Target]) -> list[Target]:
        """Of these the first, and those that share its place by weight."""
        share = self.shares.get(targets[0].id)
        if share is None:
            return [targets[0]]
        return [each for each in targets if (own := self.shares.get(each.id)) and own.group == share.group]


class ModelListing(msgspec.Struct, frozen=True, kw_only=True):
    """One name that a client may ask for."""

    id: str
    kind: str  # "alias" or "model"
    localities: tuple[Locality, ...]
    # What every target of the first place has; None: none of them says.
    context: int | None
    capabilities: tuple[str, ...]
    # Of the first target, as the rest.
    served_by: str
    digest: str
    score: float | None
    acceptance: Shown | None


class Targets:
    """Immutable; a reload makes another."""

    def __init__(
        self,
        by_id: dict[str, Target],
        aliases: dict[str, Alias],
        models: dict[str, Alias],
        overrides: dict[str, Price],
        pricing: Pricing | None,
    ) -> None:
        self.by_id = by_id
        # By their canonical form; `Alias.name` is as it is written in the file. A former name leads to the alias of
        # today's, and is listed nowhere.
        self.aliases = aliases
        self._models = models
        # The same in canonical form, where that tells them apart: people write names as they please.
        folded = Counter(map(canonical, models))
        self._folded = {canonical(name): entry for name, entry in models.items() if folded[canonical(name)] == 1}
        # "provider/model" -> the routing file's own price.
        self.price_overrides = overrides
        self._pricing = pricing
        # Of what `only` left: that which it was left of.
        self._everything: Targets | None = None

    @classmethod
    def build(
        cls, routing: Routing, station: Station | None, *, read_secret: ReadSecret, pricing: Pricing | None = None
    ) -> Targets:
        """Resolve every name of the routing file. Raises `ConfigError` with all keys that cannot be read."""
        return _Builder(routing, station, read_secret).build(pricing)

    def named(self, name: str) -> Alias | None:
        """What a client may ask for: an alias, or a local model by its own name. None: there is no such thing."""
        # As most write it first; the rest has to be folded.
        if (alias := self.aliases.get(name)) is not None:
            return alias
        folded = canonical(name)
        return self.aliases.get(folded) or self._models.get(name) or self._folded.get(folded)

    def only(self, names: frozenset[str]) -> Targets:
        """The same with nothing to ask for but these: aliases, or local models by any name, all in canonical form."""

        def those(entries: dict[str, Alias]) -> dict[str, Alias]:
            return {name: entry for name, entry in entries.items() if not entry.names.isdisjoint(names)}

        left = Targets(self.by_id, those(self.aliases), those(self._models), self.price_overrides, self._pricing)
        left._everything = self.everything
        return left

    @property
    def everything(self) -> Targets:
        """All that there is, to tell what may not be asked for from what is not there."""
        return self if self._everything is None else self._everything

    def names(self) -> list[str]:
        """Every alias and every local model's own name, for a message."""
        aliases = [entry.name for entry in self._listed()]
        return [*aliases, *sorted({entry.local[0].model for entry in self._models.values()} - set(aliases))]

    def candidates(self, alias: str | Alias, use: str) -> tuple[Target, ...]:
        """The targets that one item of a rule's `use` means for an alias, best first.

        Give the alias itself where it is at hand: the names of two providers' models may be the same.
        """
        entry = self.named(alias) if isinstance(alias, str) else alias
        if entry is None:
            return ()
        if use == "local":
            return entry.local
        if use == "cloud":
            return entry.cloud
        target = self.by_id.get(use)
        return () if target is None else (target,)

    def models(self) -> list[ModelListing]:
        """Every name that `GET /v1/models` lists: aliases that have a target, then local models."""
        entries = [(entry, "alias") for entry in self._listed()]
        entries += [(entry, "model") for name, entry in sorted(self._models.items()) if name == entry.local[0].model]
        rows = []
        for entry, kind in entries:
            targets = [target for target in (*entry.local, *entry.cloud) if not entry.drained(target)]
            if targets and not (kind == "model" and canonical(entry.name) in self.aliases):
                localities = tuple(dict.fromkeys(target.locality for target in targets))
                first, place = targets[0], entry.first_place(targets)
                capabilities = tuple(sorted(frozenset.intersection(*(each.capabilities for each in place))))
                rows.append(
                    ModelListing(
                        id=entry.name,
                        kind=kind,
                        localities=localities,
                        context=min((each.context for each in place if each.context), default=None),
                        capabilities=capabilities,
                        served_by=first.id,
                        digest=first.digest,
                        score=first.score,
                        acceptance=first.acceptance,
                    )
                )
        return rows

    def listing(self, name: str) -> ModelListing | None:
        """The one of `models` that a name leads to, a former name as well."""
        entry = self.aliases.get(canonical(name))
        wanted = canonical(name if entry is None else entry.name)
        return next((row for row in self.models() if canonical(row.id) == wanted), None)

    def _listed(self) -> list[Alias]:
        return [entry for name, entry in self.aliases.items() if canonical(entry.name) == name]

    def cost(self, target: Target, usage: Usage) -> float | None:
        """US dollars for `usage` at a target: 0 for a local one, None where no price is known."""
        if target.locality == "local":
            return 0.0
        if self._pricing is not None:
            return self._pricing.cost(target.id, usage, self.price_overrides)
        return None


class _Builder:
    def __init__(self, routing: Routing, station: Station | None, read_secret: ReadSecret) -> None:
        self._routing = routing
        self._station = station
        self._station_name = next((name for name, it in routing.providers.items() if it.type == "station"), None)
        self._pool_name = next((name for name, it in routing.providers.items() if it.type == "pool"), None)
        self._read_secret = read_secret
        self._problems: list[Problem] = []
        self._headers = {name: self._auth(name, it, read_secret) for name, it in routing.providers.items()}
        self._by_id: dict[str, Target] = {}

    def build(self, pricing: Pricing | None) -> Targets:
        station_models, pool_models = self._station_models(), self._pool_models()
        aliases = {
            name: self._alias(name, model, station_models, pool_models) for name, model in self._routing.models.items()
        }
        for rule in self._routing.rules:
            for item in rule.use:
                if item not in ("local", "cloud"):
                    self._reference(item)
        if self._problems:
            raise ConfigError(self._problems)
        overrides = {
            f"{name}/{model}": price
            for name, it in self._routing.providers.items()
            for model, price in it.prices.items()
        }
        aliases |= _by_both_names(aliases)
        return Targets(self._by_id, aliases, self._own_names(station_models), overrides, pricing)

    # Credentials

    def _auth(self, name: str, provider: Provider, read_secret: ReadSecret) -> tuple[tuple[str, str], ...]:
        if provider.key_file is None:
            return auth_headers(provider.type, None)
        try:
            return auth_headers(provider.type, read_secret(provider.key_file))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            # A word without a slash may be the key itself, in the place of its file.
            where = path_or_nothing(provider.key_file, "the file that key_file names")
            self._problems.append(
                Problem(
                    path=("providers", name, "key_file"),
                    what=f'the key of provider "{name}" cannot be read from {where}: {reason}',
                    fix="write the key alone into that file, owner root:gridtie, mode 0640",
                )
            )
            return ()

    # Targets

    def _station_models(self) -> list[Pair]:
        """The station's models with their targets, best first."""
        name = self._station_name
        if name is None or self._station is None:
            return []
        headers: Headers = ()
        if self._station.engine.kind == "vllm_router" and self._station.pool:
            # Whichever of the pool is asked in the end: all of them know this station by one key.
            headers = self._relay_auth(self._station.pool[0])
        pairs = sorted(
            local.models(name, self._routing.providers[name], self._station, headers),
            key=lambda pair: _worth(pair[0]),
            reverse=True,
        )
        self._by_id.update((target.id, target) for _, target in pairs)
        return pairs

    def _pool_models(self) -> list[Pair]:
        """The models of the pool's members with their targets, best first."""
        name = self._pool_name
        if name is None or self._station is None:
            return []
        pairs = list(members(name, self._routing.providers[name], self._station.pool, self._relay_auth))
        self._by_id.update((target.id, target) for _, target in pairs)
        return sorted(pairs, key=lambda pair: _worth(pair[0]), reverse=True)

    def _relay_auth(self, member: Member) -> Headers:
        try:
            return auth_headers("openai", self._read_secret(member.key_file))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            what = f"the key for {member.name}, {member.key_file}, cannot be used: {reason}"
            path = ("providers", str(self._pool_name or self._station_name))
            self._problems.append(Problem(path=path, what=what, fix=_RUN_AGAIN))
            return ()

    def _reference(self, ref: str) -> Target | None:
        """`provider/model`; None for a station that has no such model."""
        name, _, model = ref.partition("/")
        provisioned = name in (self._station_name, self._pool_name)
        return self._by_id.get(ref) or (None if provisioned else self._remote(name, model))

    def _remote(self, name: str, model: str) -> Target:
        provider = self._routing.providers[name]
        id = f"{name}/{model}"
        target = self._by_id.get(id)
        if target is None:
            dialect = "openai" if provider.type == "station" or provider.type == "pool" else provider.type
            target = self._by_id[id] = Target(
                id=id,
                provider=name,
                model=model,
                locality=provider.locality,
                dialect=dialect,
                base_url=base_url(provider),
                probe_url=probe_url(provider),
                provider_slots=provider.max_in_flight,
                capabilities=CAPABILITIES[dialect],
                include_usage=provider.include_usage,
                output_limit_field=limit_field(provider),
                headers=self._headers[name],
                ca_file=provider.ca_file,
            )
        return target

    # Aliases

    def _alias(self, name: str, model: Model, station_models: list[Pair], pool_models: list[Pair]) -> Alias:
        names = [each.model for each in model.local_models()]
        purpose = current_purpose(model.purpose)
        local = self._local_order(names, purpose, station_models, pool_models)
        clouds = model.cloud_models()
        cloud = tuple([self._remote(each.provider, each.model) for each in clouds])
        here = [(each.weight, self._local(each.model, purpose, station_models)) for each in model.local_models()]
        there = [(each.weight, target) for each, target in zip(clouds, cloud, strict=True)]
        return Alias(
            name=model.written or name,
            local=local,
            cloud=cloud,
            min_score=model.least_score(),
            names=frozenset({canonical(name)}),
            # With what parts two groups between: a place of the one is none of the other.
            shares=_shares([*here, (None, None), *there]),
            timeouts=model.timeouts,
            retries=model.retries,
            # The smoke test of a machine saves nothing: nobody would send it to a cloud.
            baseline="" if purpose == OWN_PURPOSE else model.baseline or self._routing.defaults.baseline,
            no_local="" if local else self._why_no_local(name, names, purpose),
            no_cloud="" if cloud else f'no cloud is configured for "{name}" (models.{name}.cloud in llm_routing.yaml)',
        )

    def _local_order(self, names: list[str], purpose: str, own: list[Pair], pool: list[Pair]) -> tuple[Target, ...]:
        """What an alias's local names mean here, best first."""
        found = [self._local(each, purpose, own) for each in names]
        targets = list(dict.fromkeys(target for target in found if target is not None))
        there = [] if purpose == OWN_PURPOSE else [pair for each in names for pair in self._there(each, purpose, pool)]
        best = next((model for model, target in own if target in targets), None)
        prefer = self._routing.providers[self._pool_name].prefer if self._pool_name is not None else None
        return tuple(order(targets, best, there, prefer or "better"))

    def _local(self, name: str, purpose: str, models: list[Pair]) -> Target | None:
        first, slash, _ = name.partition("/")
        if slash and first in self._routing.providers:
            return self._reference(name)
        return next((target for _, target in _matching(name, purpose, models)), None)

    def _there(self, name: str, purpose: str, pool: list[Pair]) -> list[Pair]:
        """What a name means in the pool: the best model of each member."""
        best: dict[str, Pair] = {}
        for model, target in _matching(name, purpose, pool):
            best.setdefault(target.provider, (model, target))
        return list(best.values())

    def _why_no_local(self, alias: str, names: list[str], purpose: str) -> str:
        if not names:
            return f'"{alias}" is cloud only (models.{alias}.local in llm_routing.yaml)'
        if self._station is None:
            return "nothing is provisioned on this machine yet (no station.json): run `ansible-playbook site.yml`"
        have = listed(model.name for model in self._station.models)
        if names == ["auto"]:
            return f'no model of this station is for "{purpose}"; it has: {have}'
        return f"this station does not have {listed(names)}; it has: {have}"

    def _own_names(self, station_models: list[Pair]) -> dict[str, Alias]:
        """Local models by their own names, by id, and those of the station also by their name in the catalogue."""
        names: dict[str, Target] = {}
        for model, target in station_models:
            names.setdefault(model.catalogue, target)
        for target in self._by_id.values():
            if target.locality == "local":
                names[target.id] = target
                names.setdefault(target.model, target)
        baseline = self._routing.defaults.baseline
        same: dict[str, set[str]] = {}
        for name, target in names.items():
            same.setdefault(target.id, set()).add(canonical(name))
        return {
            name: Alias(
                name=target.model,
                local=(target,),
                baseline=baseline,
                names=frozenset(same[target.id]),
                no_cloud=f'"{name}" is the name of a local model: only that model is meant',
            )
            for name, target in names.items()
        }


def _shares(targets: Iterable[tuple[int | None, Target | None]]) -> dict[str, Share]:
    """Neighbours that have a weight share a place; one that has none stands alone, and between two groups."""
    shares: dict[str, Share] = {}
    group = 0
    for weight, target in targets:
        if weight is None:
            group += 1
        elif target is not None:
            shares.setdefault(target.id, Share(group, weight))
    return shares


def _worth(model: StationModel) -> tuple[float, int, int]:
    """Order of the station's models: score, then context, then size."""
    return (-1.0 if model.score is None else model.score, model.context, model.bytes)


def _matching(name: str, purpose: str, models: list[Pair]) -> list[Pair]:
    """The models that a name means, best first, by the most exact of its meanings."""
    for matches in _spellings(name, purpose):
        if found := [pair for pair in models if matches(pair[0])]:
            return found
    return []


def _spellings(name: str, purpose: str) -> list[Callable[[StationModel], bool]]:
    """What a name in `models.*.local` may mean, the most exact meaning first."""
    if name == "auto":
        # Scores are of code: a model that is made for chats comes before a better coder.
        made_for_it = [lambda model: model.purposes[:1] == ["chat"]] if purpose == "chat" else []
        return [*made_for_it, lambda model: purpose in model.purposes]
    return [
        lambda model: model.name == name,
        lambda model: model.catalogue == name,
        lambda model: model.catalogue.partition(":")[0] == name,
    ]


def _by_both_names(aliases: dict[str, Alias]) -> dict[str, Alias]:
    """Aliases that got another name, of which a routing file has the former or today's: under both."""
    found: dict[str, Alias] = {}
    for former, now in FORMER_ALIASES.items():
        if (former in aliases) != (now in aliases):
            entry = aliases.get(former) or aliases[now]
            name = entry.name if now in aliases else now
            both = replace(entry, name=name, names=entry.names | {former, now})
            found |= {former: both, now: both}
    return found
