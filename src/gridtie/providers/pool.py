"""The routers of other stations as targets, and where they stand among a station's own models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gridtie.config.schema import Preference, Provider
from gridtie.config.station import Member, StationModel
from gridtie.host.purpose_names import SMOKE_TEST
from gridtie.providers import local
from gridtie.providers.target import Target
from gridtie.providers.wire import Headers

Pair = tuple[StationModel, Target]

# Models of this purpose prove the machine that they are on; another machine's answer would prove nothing.
OWN_PURPOSE = SMOKE_TEST


def members(name: str, provider: Provider, pool: Sequence[Member], auth: Callable[[Member], Headers]) -> Iterator[Pair]:
    """Every model of every member as a target of the provider `name`; `auth` gives the relay key's headers.

    A member is a provider of its own (`pool.gpu-server`), so that its slots and its health are its own.
    """
    for member in pool:
        id, headers, url = f"{name}.{member.name}", auth(member), f"{member.url.rstrip('/')}/v1"
        for model in member.models:
            target = Target(
                id=f"{id}/{model.name}",
                provider=id,
                model=model.name,
                locality="local",
                dialect="openai",
                base_url=url,
                private=bool(provider.private),
                probe_url=f"{url}/models",
                context=model.context,
                slots=model.parallel,
                provider_slots=provider.max_in_flight,
                lends=True,
                capabilities=local.capabilities(model),
                score=model.score,
                acceptance=model.acceptance,
                include_usage=provider.include_usage,
                headers=headers,
                ca_file=member.ca_file,
            )
            yield model, target


def order(own: Sequence[Target], best: StationModel | None, pool: Sequence[Pair], prefer: Preference) -> list[Target]:
    """One list of what `local` means, best first, each part in the order that it came in.

    `best` is the first model of the station itself among `own`. With `better`, a member's model stands before the
    station's where it is better than that one: then the way over the network is worth it. Where it is not, it is there
    for when the own engine is down or busy.
    """
    if prefer == "always" or best is None:
        first = [target for _, target in pool]
    elif prefer == "never":
        first = []
    else:
        first = [target for model, target in pool if _better(model, best)]
    return list(dict.fromkeys([*first, *own, *(target for _, target in pool)]))


def _better(one: StationModel, other: StationModel) -> bool:
    """By coding score where both have one, else by size."""
    if one.score is not None and other.score is not None and one.score != other.score:
        return one.score > other.score
    return one.bytes > other.bytes
