"""What vLLM makes of a prompt: its tokens, by which vllm-router finds the server that has read its beginning.

Handed to this station's own vLLM as it is, for other stations alone: nothing is generated, reserved or counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from gridtie.gateway.admin.answer import refuse
from gridtie.gateway.dispatch import Dispatcher
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.response import JSON
from gridtie.gateway.routes import Route
from gridtie.providers.target import Target
from gridtie.routing.probe import Unanswered, post

# vLLM writes a prompt of a hundred thousand tokens in less than a second.
SECONDS = 10.0
_BASE = "/v1"


class _Asked(msgspec.Struct, frozen=True):
    model: str = ""


class Rendered:
    """`/v1/chat/completions/render` and `/v1/completions/render`."""

    def __init__(self, _: Dispatcher) -> None:
        self._asking: set[asyncio.Task[None]] = set()

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path="/v1/chat/completions/render", post=self.render, relay=True),
            Route(path="/v1/completions/render", post=self.render, relay=True),
        )

    def render(self, exchange: Exchange) -> None:
        """Answer with what vLLM says; 404 where the model is another engine's."""
        key = exchange.head.key
        if key is None or not key.relay:
            refuse(exchange, 403, "relays_only", "prompts are rendered for other stations alone")
            return
        try:
            model = msgspec.json.decode(exchange.body, type=_Asked).model
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            refuse(exchange, 400, "invalid_request", "the body is not the JSON of a request with a model")
            return
        target = _own(exchange.head.loaded.targets.by_id.values(), model)
        if target is None:
            refuse(exchange, 404, "model_not_found", "no vLLM of this station serves that model")
            return
        task = asyncio.get_running_loop().create_task(_hand_on(exchange, target), name=f"render {exchange.id}")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)


def _own(targets: Iterable[Target], model: str) -> Target | None:
    return next((each for each in targets if each.own and each.engine == "vllm" and each.model == model), None)


async def _hand_on(exchange: Exchange, target: Target) -> None:
    url = target.base_url.removesuffix(_BASE) + exchange.head.path.removesuffix("/")
    try:
        answer = await post(url, bytes(exchange.body), SECONDS)
    except Unanswered as error:
        refuse(exchange, 503, "engine_unreachable", f"vLLM: {error}")
        return
    exchange.respond(answer.status, JSON, answer.body)
