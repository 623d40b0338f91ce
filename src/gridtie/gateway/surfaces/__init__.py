"""The dialects that clients may speak. A surface is a class with `routes()`; adding one is adding it here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gridtie.gateway.dispatch import Dispatcher
from gridtie.gateway.routes import Route
from gridtie.gateway.surfaces.anthropic import Anthropic
from gridtie.gateway.surfaces.ollama import Ollama
from gridtie.gateway.surfaces.openai import OpenAI
from gridtie.gateway.surfaces.rendered import Rendered
from gridtie.gateway.surfaces.responses import Responses


class Surface(Protocol):
    """One dialect's paths."""

    def __init__(self, dispatcher: Dispatcher) -> None: ...

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        ...


SURFACES: tuple[type[Surface], ...] = (OpenAI, Rendered, Responses, Anthropic, Ollama)
