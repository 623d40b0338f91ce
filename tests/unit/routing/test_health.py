"""What the router learns about its engines without asking them for a token."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from gridtie.config.station import Station
from gridtie.dialects.types import Failed, Failure
from gridtie.routing import probe
from gridtie.routing.health import TIMEOUTS_IN_A_ROW, Finding, Health, finding
from gridtie.routing.plan import PlannedAttempt
from gridtie.routing.probe import Answer, Unanswered, get
from gridtie.routing.snapshot import TargetState
from gridtie.routing.state import State
from standins import house
from standins.house import LARGE, SMALL

TARGETS = house.targets()
OLLAMA = TARGETS.by_id[SMALL]


def embedded(url: str = "http://engine:8080") -> Station:
    return house.station(small={"dialect": "openai", "url": url})


def balanced() -> Any:
    facts = house.station(
        small={"dialect": "openai", "url": "http://engine:8000", "servers": {"https://a:8443": 8, "https://b:8443": 16}}
    )
    return house.targets(facts=replace(facts, engine=replace(facts.engine, kind="vllm_router"))).by_id[SMALL]


def workers(**well: bool) -> bytes:
    """What vllm-router 0.1.17 says of its servers."""
    told = [{"url": f"https://{name}:8443", "is_healthy": each, "load": 0} for name, each in well.items()]
    return json.dumps({"workers": told, "total": len(told)}).encode()


def remote() -> Any:
    providers = {
        **house.document()["providers"],
        "gpu": {"type": "openai", "base_url": "https://gpu.example/v1", "locality": "local"},
    }
    models = {**house.document()["models"], "big": {"local": "gpu/big-model"}}
    return house.targets(house.routing(providers=providers, models=models)).by_id["gpu/big-model"]


def ps(*names: str) -> bytes:
    return json.dumps({"models": [{"name": name, "model": name, "size_vram": 1} for name in names]}).encode()


def pooled() -> Any:
    """A member of a pool, which is another station's router."""
    return replace(remote(), lends=True)


FINDINGS = [
    (
        "a member of the pool with what it offers",
        pooled(),
        200,
        b'{"data": [{"id": "big-model", "gridtie": {"offer": {"free": 2, "ready": true, "loaded": false}}}]}',
        Finding(True, False, free=2),
    ),
    (
        "a member whose engine is down",
        pooled(),
        200,
        b'{"data": [{"id": "big-model", "gridtie": {"offer": {"free": 2, "ready": false}}}]}',
        Finding(False, True, "its router answers, and its engine does not", free=2),
    ),
    (
        "a member of before",
        pooled(),
        200,
        b'{"data": [{"id": "big-model", "gridtie": {"kind": "model"}}]}',
        Finding(True, True),
    ),
    (
        "a server that is no member, whatever it offers",
        remote(),
        200,
        b'{"data": [{"id": "big-model", "gridtie": {"offer": {"free": 2}}}]}',
        Finding(True, True),
    ),
    ("Ollama with the model in memory", OLLAMA, 200, ps("gridtie/smollm2:135m"), Finding(True, True)),
    ("Ollama with another one in memory", OLLAMA, 200, ps("llama3.2:1b"), Finding(True, False)),
    ("Ollama with nothing in memory", OLLAMA, 200, b'{"models": null}', Finding(True, False)),
    ("Ollama in trouble", OLLAMA, 500, b"", Finding(False, None, "it answers with HTTP 500")),
    (
        "no engine at all",
        OLLAMA,
        200,
        b"<html>",
        Finding(False, None, "its answer is not the JSON that such an engine gives"),
    ),
    ("vllm-router, all well", balanced(), 200, workers(a=True, b=True), Finding(True, True, slots=24)),
    ("vllm-router, one drained", balanced(), 200, workers(a=True, b=False), Finding(True, True, slots=8)),
    ("vllm-router, one that was down when it began", balanced(), 200, workers(b=True), Finding(True, True, slots=16)),
    ("vllm-router, a server by another name", balanced(), 200, workers(c=True), Finding(True, True)),
    (
        "vllm-router without one that is well",
        balanced(),
        200,
        workers(a=False),
        Finding(False, False, "none of the servers behind it answers"),
    ),
    ("llama.cpp's server, ready", house.targets(facts=embedded()).by_id[SMALL], 200, b"{}", Finding(True, True)),
    (
        "llama.cpp's server, loading",
        house.targets(facts=embedded()).by_id[SMALL],
        503,
        b"{}",
        Finding(False, False, "it is still loading its model (HTTP 503)"),
    ),
    ("vLLM with the model", remote(), 200, b'{"data": [{"id": "big-model"}]}', Finding(True, True)),
    (
        "vLLM with another model",
        remote(),
        200,
        b'{"data": [{"id": "x"}]}',
        Finding(False, False, "it does not serve big-model; it has: x"),
    ),
    (
        "vLLM with its context",
        remote(),
        200,
        b'{"data": [{"id": "x", "max_model_len": 9}, {"id": "big-model", "owned_by": "vllm", "max_model_len": 4096}]}',
        Finding(True, True, context=4096, measured=True),
    ),
    (
        "a server whose context is none",
        remote(),
        200,
        b'{"data": [{"id": "big-model", "owned_by": 7, "max_model_len": "many"}]}',
        Finding(True, True),
    ),
    (
        "a server whose answer has no bottom",
        remote(),
        200,
        b'{"data": [{"id": "big-model", "owned_by": ' + b"[" * 100_000,
        Finding(False, why="its answer is not the JSON that such an engine gives"),
    ),
    ("a server that lists nothing", remote(), 404, b"", Finding(True)),
    ("a refused key", remote(), 401, b"", Finding(False, None, "it refuses the key (HTTP 401)")),
]


@pytest.mark.parametrize(
    ("target", "status", "body", "wanted"), [row[1:] for row in FINDINGS], ids=[row[0] for row in FINDINGS]
)
def test_an_answer_is_read_for_each_kind_of_engine(target: Any, status: int, body: bytes, wanted: Finding) -> None:
    assert finding(target, Answer(status, body)) == wanted


def test_only_local_targets_are_probed() -> None:
    assert {target.id for target in TARGETS.by_id.values() if target.probe_url} == {SMALL, LARGE}


class Engine:
    """Answers probes from a list, the last one for ever; counts them."""

    def __init__(self, *answers: Answer | Unanswered) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def get(self, url: str, headers: Any, ca_file: str | None, seconds: float) -> Answer:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Unanswered):
            raise answer
        return answer


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


def watch(engine: Engine, act: Callable[[State, Engine, Health], Any], interval: float = 0.002) -> TargetState:
    """Probe the house's engine while `act` runs; the state of the small model afterwards."""

    async def main() -> TargetState:
        state = State()
        state.update(TARGETS.by_id)
        health = Health(state, get=engine.get, interval=interval)
        health.update(TARGETS.by_id)
        await act(state, engine, health)
        await health.close()
        return state.snapshot(0).states[SMALL]

    return asyncio.run(main())


LOADED = Answer(200, ps("gridtie/smollm2:135m"))
REFUSED = Unanswered("Connection refused", certain=True)
LATE = Unanswered("no answer within 2 s", certain=False)


def asked(times: int) -> Callable[[State, Engine, Health], Any]:
    async def act(state: State, engine: Engine, health: Health) -> None:
        await until(lambda: engine.asked > times)

    return act


def test_targets_of_one_engine_share_one_probe() -> None:
    engine = Engine(LOADED)
    watch(engine, asked(0), interval=60)

    assert engine.asked == 1


def test_a_model_in_memory_is_known_as_such() -> None:
    assert watch(Engine(LOADED), asked(1)).loaded is True


def test_a_refused_connection_counts_at_once() -> None:
    state = watch(Engine(REFUSED), asked(1))

    assert (state.ready, state.loaded, state.last_error) == (False, False, "Connection refused")


def measured(*metrics: Answer | Unanswered) -> list[TargetState]:
    """The state of a model on vLLM after each look, whose metrics answer so."""
    target, seen = remote(), []
    listing = Answer(200, b'{"data": [{"id": "big-model", "owned_by": "vllm", "max_model_len": 4096}]}')
    server = Engine(*metrics)

    async def get(url: str, headers: Any, ca_file: str | None, seconds: float) -> Answer:
        if not url.endswith("/metrics"):
            return listing
        assert url == "https://gpu.example/metrics"
        seen.append(replace(state.snapshot(0).states[target.id]))
        return await server.get(url, headers, ca_file, seconds)

    state = State()
    state.update({target.id: target})

    async def main() -> None:
        health = Health(state, get=get, interval=0.002)
        health.update({target.id: target})
        await until(lambda: len(seen) > len(metrics))
        await health.close()

    asyncio.run(main())
    return seen[1:]


def test_vllm_is_asked_what_it_does_and_how_much_context_it_has() -> None:
    metrics = b"vllm:num_requests_running 5\nvllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc 0.5\n"

    (state,) = measured(Answer(200, metrics))

    assert (state.context, state.running, state.queued, state.cache_used) == (4096, 5, 2, 0.5)


def test_metrics_that_do_not_come_say_nothing_against_it() -> None:
    known = Answer(200, b"vllm:num_requests_running 5\nvllm:num_requests_waiting 2\n")

    after, gone, refused = measured(known, LATE, Answer(403, known.body))

    assert (after.running, after.queued) == (5, 2)
    for state in (gone, refused):
        assert (state.running, state.queued, state.ready, state.loaded) == (None, 0, True, True)


def test_metrics_beyond_measure_end_no_watch() -> None:
    endless = Answer(200, b"vllm:num_requests_running 1e999\nvllm:num_requests_waiting 1\n")
    known = Answer(200, b"vllm:num_requests_running 5\nvllm:num_requests_waiting 2\n")

    unsaid, after = measured(endless, known)

    assert (unsaid.running, unsaid.ready, after.running) == (None, True, 5)


def test_an_engine_that_comes_back_is_used_again() -> None:
    assert watch(Engine(REFUSED, REFUSED, LOADED), asked(3)).ready


def test_a_late_answer_counts_only_after_several() -> None:
    assert watch(Engine(*[LATE] * (TIMEOUTS_IN_A_ROW - 1), LOADED), asked(TIMEOUTS_IN_A_ROW)).ready
    assert not watch(Engine(LATE), asked(TIMEOUTS_IN_A_ROW)).ready


def test_an_engine_at_work_may_answer_late() -> None:
    async def act(state: State, engine: Engine, health: Health) -> None:
        assert state.reserve(PlannedAttempt(target=OLLAMA, reason=""))
        await until(lambda: engine.asked > 2 * TIMEOUTS_IN_A_ROW)

    assert watch(Engine(LATE), act).ready


def test_a_request_that_could_not_connect_makes_the_probe_look_at_once() -> None:
    async def act(state: State, engine: Engine, health: Health) -> None:
        await until(lambda: engine.asked == 1)
        state.failed(SMALL, Failure(kind=Failed.UNREACHABLE, message="refused"), 0.0)
        await until(lambda: engine.asked == 2)
        await until(lambda: not state.snapshot(0).states[SMALL].ready)

    assert not watch(Engine(LOADED, REFUSED), act, interval=60).ready


def test_a_reload_stops_the_probes_of_engines_that_are_gone() -> None:
    async def act(state: State, engine: Engine, health: Health) -> None:
        await until(lambda: engine.asked > 0)
        health.update({})
        await asyncio.sleep(0)
        before = engine.asked
        await asyncio.sleep(0.02)
        assert engine.asked == before

    watch(Engine(LOADED), act)


# The probe itself, against a real socket


def served(answer: bytes, *, pause: float = 0.0, seconds: float = 5.0, keep: bool = False) -> tuple[Answer, bytes]:
    """What a probe makes of these bytes, and what it sent. With `keep` the engine never closes by itself."""
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readuntil(b"\r\n\r\n"))
        try:
            await asyncio.sleep(pause)
            writer.write(answer)
            if keep:
                with contextlib.suppress(OSError):
                    await reader.read()
        finally:
            # A probe that has read enough, or waited enough, is gone by now.
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def main() -> Answer:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{port}/api/ps"
            return await get(url, (("authorization", "Bearer k"),), None, seconds)

    return asyncio.run(main()), bytes(heard)


KEPT = {
    "HTTP/1.0 with a length": b'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 8\r\n\r\n{"a": 1}',
    "HTTP/1.1 with a length": b'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{"a": 1}',
    "chunks": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n',
}


@pytest.mark.parametrize("name", KEPT)
def test_an_engine_that_keeps_its_connection_open_is_read_to_the_end_that_it_announces(name: str) -> None:
    answer, _ = served(KEPT[name], keep=True, seconds=3.0)

    assert answer == Answer(200, b'{"a": 1}')


@pytest.mark.parametrize("body", [b"zz\r\n", b"5\r\nab", b""])
def test_chunks_that_are_none_are_no_answer(body: bytes) -> None:
    with pytest.raises(Unanswered, match="its answer"):
        served(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


def test_a_probe_asks_for_one_page_with_the_key_and_reads_it_to_the_end() -> None:
    answer, heard = served(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    assert answer == Answer(200, b"{}")
    assert heard.startswith(b"GET /api/ps HTTP/1.0\r\n")
    assert b"authorization: Bearer k\r\n" in heard


def test_an_endless_answer_is_cut() -> None:
    answer, _ = served(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * (3 * probe.MAX_BYTES))

    assert len(answer.body) < probe.MAX_BYTES + 65536


def test_a_length_that_is_not_kept_gives_what_came() -> None:
    assert served(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")[0] == Answer(200, b"{}")


def test_a_word_before_the_answer_is_none() -> None:
    answer, _ = served(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", keep=True)

    assert answer == Answer(200, b"{}")


def test_an_answer_in_the_smallest_chunks_is_read_in_one_go_and_cut_by_what_frames_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each chunk read for itself was work for all that came after it: minutes, in which nobody else was served."""
    looked: list[int] = []
    feed = probe._Reading.feed

    def noted(reading: probe._Reading, piece: bytes) -> None:
        looked.append(len(piece))
        feed(reading, piece)

    monkeypatch.setattr(probe._Reading, "feed", noted)

    answer, _ = served(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * probe.MAX_BYTES)

    assert sum(looked) <= 2 * probe.MAX_BYTES + 65536
    assert 2 * probe.MAX_BYTES // 6 - 100 < len(answer.body) < probe.MAX_BYTES
    assert answer.status == 200


@pytest.mark.parametrize("garbage", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1\r\n\r\n"])
def test_what_is_not_http_is_said_to_be_so(garbage: bytes) -> None:
    with pytest.raises(Unanswered, match="not with HTTP"):
        served(garbage)


def test_a_silent_engine_is_late_and_not_gone() -> None:
    with pytest.raises(Unanswered, match="no answer within") as caught:
        served(b"", pause=1.0, seconds=0.05)

    assert not caught.value.certain


def test_a_closed_port_is_certain() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await get(f"http://127.0.0.1:{port}/", (), None, 5.0)

    with pytest.raises(Unanswered) as caught:
        asyncio.run(main())

    assert caught.value.certain
