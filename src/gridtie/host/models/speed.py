"""How fast an engine generates, over several runs, and whether a later measurement is slower by more than chance.

Every run asks greedily for a text of its own, so that nothing comes out of a cache, and counts the engine's own time
for generating: neither loading nor reading the prompt. Several runs are told by their median and the two quartiles.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

from ..router import Answer, Unreachable, send
from .proof import ANSWER_S, DoesNotRun

TOKENS = 64
# A model that ends sooner says little about speed: the clock has steps, and the first token is slower than the rest.
LEAST_TOKENS = 16
# Quartiles of fewer runs mean nothing.
LEAST_RUNS = 5
# A run that was too short is made up for by another one, so often as there are runs.
_TRIES = 2
# Seconds for one text of a model that is loaded: half a token a second.
RUN_S = 150.0
# Less is nobody's concern, however sure it is: a machine that got warmer loses as much.
WORTH_SAYING = 0.05


class NotMeasured(Exception):
    """The engine answers, but not with enough to measure; the message says what it gave."""


@dataclass(frozen=True)
class Speed:
    """Tokens a second of one model: half of the runs lie between `low` and `high`."""

    model: str
    runs: int
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.1f} tokens/s ({self.low:.1f} to {self.high:.1f} in the middle half of {self.runs} runs)"

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "text": str(self)}


def from_document(document: Mapping[str, Any]) -> Optional[Speed]:
    """What `document` gave; None where nothing was measured."""
    return Speed(**{name: document[name] for name in Speed.__dataclass_fields__}) if document else None


@dataclass(frozen=True)
class Comparison:
    """What two measurements say. `slower`: beyond chance, and worth saying. `refused`: more than was allowed."""

    share: float
    slower: bool
    refused: bool
    text: str


def of_runs(model: str, rates: Sequence[float]) -> Speed:
    """Raises NotMeasured where there are too few."""
    if len(rates) < LEAST_RUNS:
        raise NotMeasured(
            f"{model} gave {len(rates)} answers of at least {LEAST_TOKENS} tokens; wanted {LEAST_RUNS} to judge by"
        )
    low, median, high = statistics.quantiles(rates, n=4, method="inclusive")
    return Speed(model, len(rates), round(median, 3), round(low, 3), round(high, 3))


def compare(before: Speed, after: Speed, least_share: float = 0.0) -> Comparison:
    """Judge `after`. It is slower where even its better runs are below the poorer ones of before: quartile against
    quartile. With seven runs each, chance alone does that once in twenty-five times, and hardly ever by much; one slow
    run does not do it. Only such a drop is refused, and only below `least_share` of the speed before.
    """
    share = after.median / before.median
    slower = after.high < before.low and share <= 1 - WORTH_SAYING
    refused = slower and share < least_share
    told = f"{after.median:.1f} tokens/s after {before.median:.1f} ({share - 1:+.0%})"
    if refused:
        text = f"{told}, beyond chance; allowed was a drop to {least_share:.0%} (gridtie_upgrade_min_speed)"
    elif slower:
        text = f"{told}, beyond chance"
    elif share < least_share:
        text = f"{told}, but the runs lie too far apart to tell that from chance"
    else:
        text = f"{told}, no drop beyond chance"
    return Comparison(share, slower, refused, text)


def objection(error: Exception, before: Optional[Speed], least_share: float) -> str:
    """Why nobody should go on without a measurement; empty where it is merely not known.

    From the host of a rootless Docker no container can be reached, before or after; the doctor asks there by way of the
    router.
    """
    if before and isinstance(error, Unreachable):
        return f"the engine could be measured before, and now it cannot be reached: {error}"
    if least_share > 0:
        return f"gridtie_upgrade_min_speed is set, and nothing was measured: {error}"
    return ""


def measure(url: str, model: str, runs: int, say: Callable[[str], None] = lambda _: None) -> Speed:
    """Ask the Ollama at `url`; fewer than LEAST_RUNS runs ask nothing. Raises Unreachable, DoesNotRun, NotMeasured."""
    if runs < LEAST_RUNS:
        raise NotMeasured(f"{runs} runs were asked for (gridtie_upgrade_runs); fewer than {LEAST_RUNS} tell no speed")
    say(f"loading {model}")
    _generate(url, model, _prompt(0), ANSWER_S)  # Loads it, and is not counted.
    rates: list[float] = []
    for number in range(1, _TRIES * runs + 1):
        say(f"measuring the speed of {model}, run {len(rates) + 1} of {runs}")
        rate = rate_of(_generate(url, model, _prompt(number), RUN_S))
        rates += [rate] if rate else []
        if len(rates) == runs:
            break
    return of_runs(model, rates)


def rate_of(content: Mapping[str, Any]) -> Optional[float]:
    """Tokens a second by the engine's own account; None where it generated too little."""
    count, nanoseconds = content.get("eval_count", 0), content.get("eval_duration", 0)
    return count / nanoseconds * 1e9 if count >= LEAST_TOKENS and nanoseconds > 0 else None


def _prompt(number: int) -> str:
    """A task with a long answer, other from its first word on than that of any other number."""
    return f"{100 + number} words, please: a story about {number + 2} friends who cross a mountain in winter."


def _generate(url: str, model: str, prompt: str, limit_s: float) -> Mapping[str, Any]:
    options = {"num_predict": TOKENS, "temperature": 0, "seed": 1}
    body = {"model": model, "prompt": prompt, "stream": False, "options": options}
    return _content(send("POST", f"{url}/api/generate", body=body, timeout=limit_s))


def _content(answer: Answer) -> Mapping[str, Any]:
    content = answer.json()
    if answer.status == 200 and isinstance(content, dict):
        return content
    told = content.get("error") if isinstance(content, dict) else answer.body[:300].decode("utf-8", "replace")
    raise DoesNotRun(f"status {answer.status}: {told}")
