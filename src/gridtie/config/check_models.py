"""Aliases: something to be served by, and providers of the locality that they are named under."""

from __future__ import annotations

from collections.abc import Iterator

from gridtie.config.names import canonical, repeated, same_but_for_case, unknown
from gridtie.config.problems import KeyPath, Problem, closest, listed
from gridtie.config.schema import Model, Provider, Routing
from gridtie.host.ollama_name import runs_at_ollama_com
from gridtie.host.purpose_names import PURPOSES, current_purpose

# Characters of a model's name in a request; the door lets no longer one in.
_LONGEST = 256


def models(routing: Routing) -> Iterator[Problem]:
    """What is wrong with the aliases."""
    if not routing.models:
        yield Problem(path=("models",), what="no alias is defined", fix="applications need one to ask for")
    yield from same_but_for_case(routing.models, [("models", alias) for alias in routing.models], "alias")
    for alias, model in routing.models.items():
        path = ("models", alias)
        if not alias or any(letter.isspace() or not letter.isprintable() for letter in alias):
            yield Problem(path=path, what=f"the alias {alias!r} is empty or has spaces", fix="use one word")
        if len(alias) > _LONGEST:
            yield Problem(path=path, what=f"the alias has {len(alias)} characters", fix=f"at most {_LONGEST}")
        yield from _alias(routing, model, path)


def _alias(routing: Routing, model: Model, path: KeyPath) -> Iterator[Problem]:
    if model.local is None and model.cloud is None:
        yield Problem(path=path, what="neither local nor cloud is set", fix="an alias needs at least one of them")
    if model.local == []:
        yield Problem(path=(*path, "local"), what="the list is empty", fix="name a model, or write `local: null`")
    local, where = model.local_models(), places(model.local, (*path, "local"))
    for each, here in zip(local, where, strict=True):
        yield from _local_name(routing, each.model, here)
    if any(each.weight is not None for each in local):
        yield from repeated([each.model for each in local], where, "model")
    if current_purpose(model.purpose) not in PURPOSES:
        yield Problem(
            path=(*path, "purpose"),
            what=f'"{model.purpose}" is no purpose',
            fix=closest(model.purpose, PURPOSES) or f"known: {listed(PURPOSES)}",
        )
    if model.cloud == []:
        yield Problem(path=(*path, "cloud"), what="the list is empty", fix="name a cloud, or write `cloud: null`")
    clouds, where = model.cloud_models(), places(model.cloud, (*path, "cloud"))
    for cloud, here in zip(clouds, where, strict=True):
        yield from _cloud(routing, cloud.provider, (*here, "provider"))
    yield from repeated([f"{cloud.provider}/{cloud.model}" for cloud in clouds], where, "cloud")
    if model.baseline is not None and "/" not in model.baseline:
        yield Problem(
            path=(*path, "baseline"),
            what=f'"{model.baseline}" is no `provider/model`',
            fix="write it as in prices.json",
        )
    for name, score in (("min_score", model.min_score), ("floor", model.floor)):
        if score is not None and not 0 <= score <= 100:
            yield Problem(path=(*path, name), what=f"found {score:g}, wanted a score from 0 to 100")
    if model.min_score is not None and model.floor is not None:
        yield Problem(
            path=(*path, "floor"),
            what="`floor` is the former name of `min_score`, and both are set",
            fix="leave out `floor`",
        )


def places(written: object, path: KeyPath) -> list[KeyPath]:
    """Where each of one or several stands."""
    if isinstance(written, list):
        return [(*path, at) for at in range(len(written))]
    return [] if written is None else [path]


def _local_name(routing: Routing, name: str, path: KeyPath) -> Iterator[Problem]:
    provider_name, slash, model = name.partition("/")
    provider = routing.providers.get(provider_name) if slash else None
    if not name or any(letter.isspace() for letter in name) or (slash and not model):
        yield Problem(path=path, what=f"{name!r} is no model name")
    elif name != "auto" and canonical(name) == "auto":
        yield Problem(path=path, what=f'"{name}" is no model name', fix='did you mean "auto"?')
    elif provider is None:
        if runs_at_ollama_com(name):
            yield leaving(name, path)
        elif not any(each.type == "station" for each in routing.providers.values()):
            known = [each for each, it in routing.providers.items() if it.locality == "local"]
            yield Problem(
                path=path,
                what=f'"{name}" is looked for on the station, and no provider has the type station',
                fix=f"add one, or write provider/model with a local provider: {listed(known)}",
            )
    elif leaves(provider, model):
        yield leaving(name, path)
    elif provider.type == "pool":
        yield Problem(
            path=path,
            what=f'"{provider_name}" is a pool, whose models are found by their names alone',
            fix=f'write "{model}"',
        )
    elif provider.locality != "local":
        yield Problem(
            path=path,
            what=f'"{provider_name}" is a cloud provider',
            fix="put it under `cloud`, or declare `locality: local` at the provider if it is a machine of yours",
        )


def leaves(provider: Provider, model: str) -> bool:
    """Whether a local server would hand this model's prompts on to ollama.com."""
    # Other servers of OpenAI's dialect give their models no tags, and any name.
    ollama = provider.type != "openai" or ":" in model
    return provider.locality == "local" and ollama and runs_at_ollama_com(model)


def leaving(name: str, path: KeyPath) -> Problem:
    """What is wrong with naming such a model as local."""
    return Problem(
        path=path,
        what=f'"{name}" is no local model: Ollama sends the prompts of models whose names end in `-cloud` or '
        "`:cloud` to ollama.com",
        fix="name a model that runs here, or name it under `cloud`, with a provider that declares `locality: cloud`",
    )


def _cloud(routing: Routing, name: str, path: KeyPath) -> Iterator[Problem]:
    provider = routing.providers.get(name)
    if provider is None:
        clouds = [each for each, it in routing.providers.items() if it.locality == "cloud"]
        yield unknown("provider", name, clouds, path)
    elif provider.locality != "cloud":
        yield Problem(path=path, what=f'"{name}" is local', fix=f"put it under `local`, as {name}/MODEL")
