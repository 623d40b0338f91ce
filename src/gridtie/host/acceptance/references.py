"""Vectors of models for embeddings as their original weights give them, for comparison with what an engine gives.

Four of those in `tests/contract/minilm_vectors.json`, which was computed with neither llama.cpp nor this project, in
signed bytes: their cosine with the full ones is above 0.9999, and a test holds that. Of each model the second and third
text mean the same.
"""

from __future__ import annotations

import base64

# Least cosine of a vector with the original's.
LEAST_COSINE = 0.999

_MINILM = (
    (
        "def add(a, b):\n    return a + b",
        "7vzOEbwOKtsL/TnfCfJBDrs63q0b2vMdM+HP+v71Fwon5uYNCR7qB9vQGg3YHgj6TOkNS4EUHR3oLem1HesMFTrOwxDiUxMQEQcP"
        "/gMS7UH69wU1KsT7+T8TJyrl/QHlIN6xH+wI2vcW7vrh4uFM7DHe7xry4QS5aTU29Nbi3QDG/hJA+i7N/8j37AUPKhIqGxoLE+8M"
        "FiUUEg/UABQP+NgKBx0hAxLa9erJEQLLAwMiIMfkASaoPA8q0gcaPvQNmuoiKT7/6gfYRBLZ8rkN5gz5IC8HFdUZHMmnxyz9DwDo"
        "DfgF2OQ0qUYO2tML+SvrtA8WBA3aNMr+LP0V6+L+DwoB9hYW2+78OPpeN0kCB/cS1Pwflxbm3+XmPe7R4Qb87hLc4wbBXFMC+80h"
        "4wX+Fc3jHgLpzDVk5x0GReQd4QDz3eHc8AsP6AetBxgODP46J/DV5hQHIS3bGOfYCtg+Dt4+7BYgHBMVzMLiAS3O0Mu96DThNdnt"
        "+e3++lHk8RXe",
    ),
    (
        "The router keeps private prompts on this machine.",
        "+Pfg6jUk2NgD4BdP7cYVD+KIQtMMC+8JB9B8JPj+7t7oBRSjElENwSvM5BP6DPX1IOofAvki9/csCfvuse/pLNgWDBcz7twrDzkQ"
        "GvO26z35AB0DEhfs/inb2LnfBKHvEdzQ+/DqM/YIF0cNUCfKzv4i/fLzViPS/fdH4wTYEgA6LOvcJwo0EwwV3Ok82yPeJEFBHjTk"
        "NvZM/Rr0HAH0E94XITHR1EP3FpnfGNDZ7hXpO9X8zgkZ1hftIc0SMRb76gYX5g4prvcX56cMiykW/hfj4H8m8+0E5UAbHOpnyADD"
        "7OD/uNkaJ98NRj084D/1BS/K2Mok5sbq7+AvGxEREffJIywVJQMUWB/cOevgH7TRGQ7VRP3cONv4VugnzsdSBPA3JyUrEepEOCDK"
        "6r6V9Rbsrrr90SIT8QQY4NYJzwAPIUkaUQMzuOQCJwrLCTMS9Nnz/97F4wrqDwz6xFG8/Rcgun3i/wgbyuryGusU0NEa7AH5HBUB"
        "AQbY6CT6MA/h",
    ),
    (
        "Private requests never leave this computer.",
        "7CAk8hDn27VYB+s28NnwId+K+Bj70eIb6+wqu/vyA+jkFUjO8Aj0xvTu3/cSNhvmHQTN6PQ+7AI36CA3wdH5BQwzCv1BCsE11DUg"
        "ANe9Dhrn9x787kX251y71CTuBLPuCOmnGzYdL+UbIzsqJxqxx+QQ9uDNWgTo9/8J+Pem9gDzyQ/s6QpEIx/JKx1YuGUuWStm7UsK"
        "Ag8j5u3vGAfMFNHOXQ0L9DsM5/jwDvG+7zHwJOEdEy3QFCkN/xI8/gn84BYJJujx/wFBxpu8sS8SGvz00xNF+PjeCD7vBNsloADi"
        "280QCQj9QRdfRDs1ADkxIfuW18wzzk4BD8IbHRINCMQDJtnrSQwiSDHsIAgbzMsGPBfHVd7I9/k7MMU62LkcEQQxMBLJI+Dm9tEg"
        "5sLOEjn2/9A2wSCtyNkXmhwFCAAkI1BJL/Eb0uUiMN/8AwYbFKjzurvNxB3XDl7yHEDQ7wP9xSrnHSj6rTL86gUe9djw6vP63389"
        "4BgSJDouRNr7",
    ),
    (
        "The recipe wants two eggs and a cup of flour.",
        "5hEJJ+H/Gw0M8velrsLe7izE8sMswUUdHQ/h4PrYFzj45ffkHxAH4AQQFNbjFxsJJgbuCd4SREHF9uE4zBXiC0LG1B6//QIqPPcv"
        "/g/yLOW58SYP8fkeECvU/wIpPxYF9gXhKfDnULkhFe4ASgYNBAQm+RD+5QseC87//NPhBQDkGhJJTfYH/vMn8v7tTPu+CxFEB9n6"
        "4e0XDfTpwhEuCdrx8Q4d7cYz9uEDB/Hb/kohMi74FBoUKvj9KfL+ErUcAALS8gBH3sH38fXuEQUoCjbo7Oy3JtIoJgYZ9T8H1QDS"
        "BqEbOQQyyiEBGOn9EOEfKBtQ8vFDABHzKDwiqQPegSsH/P4K4uoNxwExLPwaGwMLEDPQ1MXKDMHpMA3rJRYWGvjB6gkXDR5HFfYi"
        "JbwV2MDTIxTyxSUUHjkNKD0NRAAtwbsFE/zWrf3Z1HXhCdbjBxvSBfkaEtUdHBIJICXGGPYG6NCtBNqzCRwY0Av97M3pDBbpIhgB"
        "2uwJ9+vnOSfH",
    ),
)

# Name in the catalogue -> texts with their packed vectors.
_KNOWN = {"all-minilm:22m": _MINILM}


def reference(name: str) -> tuple[tuple[str, list[float]], ...]:
    """Texts with the direction of their vectors; nothing for a model whose original nobody has recorded."""
    return tuple((text, unpacked(packed)) for text, packed in _KNOWN.get(name, ()))


def unpacked(packed: str) -> list[float]:
    return [float(value - 256 if value > 127 else value) for value in base64.b64decode(packed)]
