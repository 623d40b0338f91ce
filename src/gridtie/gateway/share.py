"""A router's part of what several routers have together."""

from __future__ import annotations

import msgspec

from gridtie.config.schema import Routing


class Share(msgspec.Struct, frozen=True):
    """One of `count` routers, at `place` from 0 on."""

    count: int = 1
    place: int = 0

    def part(self, whole: int) -> int:
        """The parts of all add up to the whole, where it is no less than one for each; none is less than 1."""
        return max(1, whole // self.count + (self.place < whole % self.count))

    def of(self, routing: Routing) -> Routing:
        """The routing file as it is for this router: providers take its part of their `max_in_flight`.

        A station's own engine is this machine's alone.
        """
        if self.count == 1:
            return routing
        providers = {
            name: provider
            if provider.max_in_flight is None or provider.type == "station"
            else msgspec.structs.replace(provider, max_in_flight=self.part(provider.max_in_flight))
            for name, provider in routing.providers.items()
        }
        return msgspec.structs.replace(routing, providers=providers)


WHOLE = Share()
