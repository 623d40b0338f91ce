"""How many requests at once a card has memory for: by the sum of `gridtie fit`. Pure."""

from __future__ import annotations

from gridtie.host.catalogue import Catalogue
from gridtie.host.fit.layers import layers_of_shape
from gridtie.host.fit.memory import GIB, GPU_CONTEXT, MARGIN, Settings, max_parallel, need_of
from gridtie.size.errors import SizeError
from gridtie.size.plan import Machine


def places(machine: Machine, catalogue: Catalogue) -> int:
    """Requests at once, each with the whole context; 0 if the model does not fit. Raises `SizeError`.

    What `gridtie fit` leaves free on a device, and a graphics card's own context, are taken off.
    """
    if machine.memory_gib is None or machine.context is None:
        raise SizeError(f"{machine.name}: wanted memory_gib and context")
    model = catalogue.models.get(machine.model)
    if model is None:
        raise SizeError(
            f"{machine.name}: the catalogue has no {machine.model}, so that nothing is known of its memory; name one "
            "of `gridtie fit`, or leave out memory_gib and context"
        )
    free = machine.memory_gib * GIB - MARGIN - GPU_CONTEXT
    settings = Settings(machine.context)
    try:
        layers = layers_of_shape(model.shape, settings.build)
        return max_parallel(settings, lambda tried: need_of(layers, model.file.tensors, tried).total <= free)
    except ValueError as reason:
        raise SizeError(f"{machine.name}: the memory of {machine.model} cannot be predicted: {reason}") from None
