"""A real router behind real sockets, with inputs of any kind from its clients and from its upstream."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

import httptools
import pytest

from fuzz.mutate import mutate, pieces
from fuzz.strategies import SOCKET_EXAMPLES
from fuzz.targets import TARGETS
from standins.router import KEY, Station, chat, routing, run
from standins.scripted import Turn, Upstream, whole

# At once: a wait of one does not hold up the others.
SIDE_BY_SIDE = 20
LIMIT_S = 100.0


class _Answers:
    """Reads what a router sends, as a client's parser does."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise AssertionError(f"the router sent what is no HTTP ({error}): {data[:200]!r}") from error

    def on_headers_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())


async def _throw(port: int, arriving: Sequence[bytes]) -> list[int]:
    """Send pieces, read what comes until the end or a silence; the statuses of the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = _Answers()
    try:
        for piece in arriving:
            writer.write(piece)
            await asyncio.sleep(0)
        async with asyncio.timeout(0.25):
            while data := await reader.read(65536):
                answers.feed(data)
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return answers.statuses


def _inputs(name: str, seed: str) -> list[list[bytes]]:
    target = TARGETS[name]
    rng = random.Random(f"sockets/{seed}")
    return [pieces(rng, mutate(rng, target.corpus, target.words)) for _ in range(SOCKET_EXAMPLES)]


@pytest.mark.timeout(LIMIT_S + 20)
def test_whatever_clients_send_the_router_answers_with_http_and_serves_the_next(tmp_path: Path) -> None:
    async def throw() -> tuple[list[list[int]], int, int, bool]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as router:
            key = f"authorization: Bearer {KEY}\r\nhost: 127.0.0.1:{router.port}\r\n".encode()
            inputs = [
                [b"".join(each).replace(b"host: 127.0.0.1\r\n", key)] if number % 2 else each
                for number, each in enumerate(_inputs("client connection", "clients"))
            ]
            statuses = []
            for start in range(0, len(inputs), SIDE_BY_SIDE):
                batch = inputs[start : start + SIDE_BY_SIDE]
                statuses += await asyncio.gather(*(_throw(router.port, each) for each in batch))
            after = await router.ask(chat())
            settled = await router.settled()
            return statuses, after.status, router.in_flight, settled

    statuses, after, in_flight, _ = run(throw, LIMIT_S)

    told = {status for each in statuses for status in each}
    assert (after, in_flight) == (200, 0)
    assert 200 in told
    assert 400 in told
    assert 500 not in told


@pytest.mark.timeout(LIMIT_S + 20)
def test_whatever_an_upstream_answers_the_client_gets_a_whole_answer_or_error(tmp_path: Path) -> None:
    """Each answer of the upstream is another input, whole and streamed; it closes afterwards."""
    inputs = _inputs("upstream connection", "upstream")
    streams = _inputs("OpenAI stream", "upstream")

    asked: set[int] = set()

    async def play(turn: Turn) -> None:
        number = int(turn.json["model"].removeprefix("m"))
        asked.add(number)
        arriving = inputs[number]
        if number % 2:
            body = b"".join(streams[number])
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
            arriving = [head, *streams[number]]
        for piece in arriving:
            await turn.send(piece)
        await asyncio.sleep(0.01)
        turn.writer.close()
        raise ConnectionError

    async def ask(router: Station, number: int) -> str:
        answered = await router.ask(chat(model=f"m{number}", stream=number % 4 > 1))
        if not answered.whole:
            return f"{number}: cut: {answered.body[-100:]!r}"
        if not answered.headers["content-type"].startswith("text/event-stream"):
            said = json.loads(answered.body.decode("utf-8", "replace"))
            return "" if answered.status < 500 or said["error"]["message"] else f"{number}: an error without a message"
        *_, last = re.findall(rb"^data: ?(.*)$", answered.body, re.MULTILINE)
        ended = last.strip() == b"[DONE]" or json.loads(last).get("error")
        return "" if ended else f"{number}: no end: {answered.body[-200:]!r}"

    async def throw() -> tuple[list[str], bool]:
        async with Upstream(play) as cloud, Station(tmp_path, _one_target_each(cloud.url, len(inputs))) as router:
            wrong: list[str] = []
            for start in range(0, len(inputs), SIDE_BY_SIDE):
                numbers = range(start, min(len(inputs), start + SIDE_BY_SIDE))
                wrong += await asyncio.gather(*(ask(router, number) for number in numbers))
            return [each for each in wrong if each], await router.settled()

    wrong, settled = run(throw, LIMIT_S)

    assert wrong == []
    assert settled
    # A connection that the upstream had closed is noticed late on a busy machine, and then nothing is sent again.
    assert len(asked) > 0.9 * len(inputs)


def _one_target_each(url: str, count: int) -> str:
    """A routing file with a cloud model for each input: none pauses because another one failed. JSON is YAML."""
    names = [f"m{number}" for number in range(count)]
    return json.dumps(
        {
            "version": 1,
            "providers": {"openai": {"type": "openai", "base_url": url}},
            "models": {name: {"local": None, "cloud": {"provider": "openai", "model": name}} for name in names},
            "rules": [{"name": "all", "use": ["cloud"]}],
            "timeouts": {"connect": 5, "first_token": 3, "between_tokens": 3, "total": 8},
            "defaults": {"alias": "m0"},
        }
    )
