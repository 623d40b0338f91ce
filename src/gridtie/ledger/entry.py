"""One request's row: what the journal carries and the store keeps. No prompt or completion text."""

from __future__ import annotations

import msgspec

# The most characters of what clients and upstreams name or say that a row keeps. A name of megabytes is no name, and
# an error's text may hold what was asked.
TEXT_LENGTH = 300
ASKED_LENGTH = 256
NAME_LENGTH = 64
DIGEST_LENGTH = 128
TAGS = 32
# An answer may cost what was reserved for it; sums of fractions differ by less than this without meaning anything.
OVER_RESERVED_USD = 1e-9
# nginx's word for a client that left before there was a status to send.
CLIENT_LEFT = 499


class Try(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt at one target."""

    target: str
    locality: str
    outcome: str  # "ok", or a `Failed` value, or "cancelled", "skipped"
    # Seconds.
    duration: float = 0.0
    message: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that is kept about one request. Times in seconds, money in US dollars."""

    id: str
    time: float  # Unix time of arrival
    key: str
    environment: str
    surface: str
    asked: str  # the alias or model name the client sent
    status: int
    agent: str | None = None
    tags: tuple[str, ...] = ()
    private: bool = False
    stream: bool = False
    rule: str = ""
    target: str | None = None  # None: nothing answered
    locality: str | None = None
    served: str | None = None
    tries: tuple[Try, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False
    # False: the client left, or the answer broke off.
    complete: bool = True
    first_token: float | None = None
    duration: float = 0.0
    error: str = ""
    # None: no price is known for the target; never a silent zero.
    cost_usd: float | None = None
    # "": nothing is compared with (an alias that only proves that the machine works).
    baseline: str = ""
    baseline_usd: float | None = None
    price_date: str = ""

    # -- since schema 2; a row of 1.0.0 has the defaults ---------------------------------------------------------------

    # "": a user's request; else the tool's own traffic (doctor, verify, demo, bench, quality), outside every saving.
    purpose: str = ""
    # Why it was refused or failed, as the client was told: the error's code.
    code: str = ""
    # Of `output_tokens`, those spent on reasoning, where the provider says so.
    reasoning_tokens: int = 0
    # Seconds in a queue before anything was sent.
    waited: float = 0.0
    # What answered: the engine's kind, its version and the digest of the model's file, where they are known.
    engine: str = ""
    engine_version: str = ""
    digest: str = ""
    # The rates that `cost_usd` and `baseline_usd` were computed with, as JSON (`Prices.charge`).
    prices: str = ""
    project: str = ""
    station: str = ""
    # What the attempt that answered had reserved of its budgets.
    reserved_usd: float = 0.0
    # How many answers were asked for at once (`n`).
    choices: int = 1
    # The limit of output tokens that the router wrote into the request; None: the client's own, or none.
    output_limit: int | None = None

    @property
    def billed_usd(self) -> float:
        """What a cloud may bill: of an answer, whole or not, and of one that the client did not wait for.

        What was refused, or failed, costs nothing. 0 where no price is known.
        """
        if self.locality != "cloud" or (self.status >= 400 and self.status != CLIENT_LEFT):
            return 0.0
        return self.cost_usd or 0.0

    @property
    def spent_usd(self) -> float:
        """What budgets count: what was billed, but the whole reservation where nobody knows how much that is.

        A client left before the first content, and upstream may have made, and bills, any part of its answer.
        The same in SQL is `schema.SPENT_USD`.
        """
        billed = self.billed_usd
        if billed and self.estimated and not self.complete and self.first_token is None:
            return max(billed, self.reserved_usd)
        return billed

    @property
    def over_reserved(self) -> bool:
        """Whether it was billed above what had been reserved for it: then a budget may have been overdrawn."""
        return self.reserved_usd > 0 and self.billed_usd > self.reserved_usd + OVER_RESERVED_USD


def bounded(entry: Entry) -> Entry:
    """The entry itself where its names and texts are short, as nearly always; else one in which they are cut."""
    if (
        len(entry.asked) <= ASKED_LENGTH
        and len(entry.error) <= TEXT_LENGTH
        and (entry.agent is None or len(entry.agent) <= NAME_LENGTH)
        and (not entry.tags or _short(entry.tags))
        and len(entry.engine_version) <= NAME_LENGTH
        and len(entry.digest) <= DIGEST_LENGTH
        and len(entry.code) <= NAME_LENGTH
        and len(entry.project) <= NAME_LENGTH
    ):
        for tried in entry.tries:
            if len(tried.message) > TEXT_LENGTH:
                break
        else:
            return entry
    return msgspec.structs.replace(
        entry,
        asked=cut(entry.asked, ASKED_LENGTH),
        error=cut(entry.error, TEXT_LENGTH),
        agent=None if entry.agent is None else cut(entry.agent, NAME_LENGTH),
        tags=tuple(cut(tag, NAME_LENGTH) for tag in entry.tags[:TAGS]),
        engine_version=cut(entry.engine_version, NAME_LENGTH),
        digest=cut(entry.digest, DIGEST_LENGTH),
        code=cut(entry.code, NAME_LENGTH),
        project=cut(entry.project, NAME_LENGTH),
        tries=tuple(msgspec.structs.replace(tried, message=cut(tried.message, TEXT_LENGTH)) for tried in entry.tries),
    )


def _short(tags: tuple[str, ...]) -> bool:
    return len(tags) <= TAGS and all(len(tag) <= NAME_LENGTH for tag in tags)


def cut(text: str, length: int) -> str:
    """The text itself where it is short enough; else its beginning, with a mark that it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"
