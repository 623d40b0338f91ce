"""Which benchmarks rank the models of a catalogue. Pure."""

from __future__ import annotations

from typing import Mapping, Sequence

from ..catalogue import Catalogue
from .ranking import Scale, Standing, standings

# In order of preference. Aider's edit benchmark asks for changes of real code and is what `min_score` in the routing
# file means, but holds no model of 2026; the index has tool use, terminal work and code among its ten parts, and its
# makers state a 95 % interval of at most one percent; HumanEval is saturated, and its stricter form a little less.
CODING = (
    Scale("aider-edit", tasks=133),
    Scale("aa-index", error=0.5),
    Scale("aider-polyglot", tasks=225),
    Scale("terminal-bench-2", tasks=80),
    Scale("humaneval-plus", tasks=164),
    Scale("humaneval", tasks=164),
)
EMBEDDING = (Scale("mteb-multilingual", error=0.5),)

TITLES = {
    "aider-edit": "aider's edit benchmark",
    "aa-index": "the Artificial Analysis index 4.3",
    "aider-polyglot": "aider's polyglot benchmark",
    "terminal-bench-2": "Terminal-Bench 2",
    "humaneval-plus": "HumanEval+",
    "humaneval": "HumanEval",
    "mteb-multilingual": "MTEB (multilingual)",
}


def standings_of(catalogue: Catalogue, scales: Sequence[Scale] = CODING) -> dict[str, Standing]:
    """The standing of every model that has one, best first; models of reference only link the benchmarks."""
    measured: dict[str, Mapping[str, float]] = {}
    for name, scores in [*((m.name, m.scores) for m in catalogue.models.values()), *catalogue.references.items()]:
        # The first figure of a benchmark counts; later ones are of other builds of the same model.
        measured[name] = {score.benchmark: score.value for score in reversed(scores)}
    return standings(measured, scales, among=catalogue.models)


def evidence(standing: Standing) -> str:
    """What a score rests on, in words."""
    if not standing.linked:
        return f"measured on {TITLES[standing.benchmark]}"
    below = ", below its scale" if standing.below else ""
    return f"read from {TITLES[standing.benchmark]} over {standing.shared} models or more that have both figures{below}"
