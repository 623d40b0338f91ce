"""What a collector receives of requests, over OTLP/HTTP as OpenTelemetry's own protocol files read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from gridtie.gateway.traces import exporting
from standins.collector import Collector, Mode, Received, collector
from standins.router import Answered, Station, chat, routing, run
from standins.scripted import Behaviour, Turn, Upstream, answer, cut, error, event, stream, whole

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
SECRET_WORD = "Ahornstrasse"


class Traced:
    """A request that was answered, its spans, and what targets were asked."""

    def __init__(self, answered: Answered, found: Collector, local: list[Turn], cloud: list[Turn]) -> None:
        self.answered = answered
        self.spans = sorted(found.spans, key=lambda span: (span.start, span.kind != "server"))
        self.raw = b"".join(found.bodies)
        self.collector = found
        self.local, self.cloud = local, cloud

    @property
    def server(self) -> Received:
        (found,) = [span for span in self.spans if span.kind == "server"]
        return found

    @property
    def attempts(self) -> list[Received]:
        return [span for span in self.spans if span.kind != "server"]


def traced(
    directory: Path,
    here: Behaviour,
    there: Behaviour | None = None,
    *,
    body: Any = None,
    headers: dict[str, str] | None = None,
    more: str = "",
    **options: Any,
) -> Traced:
    """One request to a local target with a cloud that stands by, and what a collector got of it."""

    async def ask() -> Traced:
        async with Upstream(here) as local, Upstream(there or whole(answer("standby"))) as cloud:
            configured = routing(local.url, cloud.url) + more
            async with Station(directory, configured, traces=found.url) as station:
                answered = await station.ask(body or chat(SECRET_WORD), headers=headers, **options)
            return Traced(answered, found, local.turns, cloud.turns)

    with collector() as found:
        return run(ask)


def test_an_answer_is_a_servers_span_with_its_attempt_below_it(tmp_path: Path) -> None:
    found = traced(tmp_path, whole(answer(prompt=5, output=2)))
    server, (attempt,) = found.server, found.attempts

    assert found.collector.paths == ["/v1/traces"]
    assert (server.name, server.parent_id, server.failed) == ("POST /v1/chat/completions", "", False)
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["gridtie.request.id"] == found.answered.headers["x-gridtie-request-id"]
    assert server.attributes["gridtie.rule"] == "all"
    assert server.attributes["gridtie.reason"].startswith('rule "all" uses local first')
    assert (server.attributes["gridtie.outcome"], server.attributes["gridtie.target"]) == ("ok", "here/small")
    assert (attempt.name, attempt.kind, attempt.parent_id) == ("chat small", "client", server.span_id)
    assert attempt.trace_id == server.trace_id
    assert attempt.attributes["gen_ai.operation.name"] == "chat"
    assert attempt.attributes["gen_ai.provider.name"] == "here"
    assert attempt.attributes["gen_ai.usage.input_tokens"] == 5
    assert attempt.attributes["gen_ai.usage.output_tokens"] == 2
    assert attempt.attributes["server.address"] == "127.0.0.1"
    assert server.start <= attempt.start <= attempt.end <= server.end
    assert found.collector.resource["service.name"] == "gridtie-router"


def test_a_failover_shows_who_did_not_answer_and_why(tmp_path: Path) -> None:
    found = traced(tmp_path, error("500 Internal Server Error", "out of order"))
    first, second = found.attempts

    assert (first.attributes["gridtie.target"], first.failed) == ("here/small", True)
    assert first.attributes["error.type"] == "broken"
    assert first.told
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert (second.attributes["gridtie.target"], second.failed) == ("openai/gpt-5.4-mini", False)
    assert "after local" in second.attributes["gridtie.reason"]
    assert first.end <= second.start
    assert found.server.attributes["gridtie.attempts"] == 2
    assert found.server.attributes["gridtie.locality"] == "cloud"


def test_a_refusal_says_its_code_and_reason(tmp_path: Path) -> None:
    found = traced(tmp_path, whole(answer()), body={**chat(), "model": "nobody"}, headers={"traceparent": TRACEPARENT})
    server = found.server

    assert (found.answered.status, found.attempts) == (404, [])
    assert (server.attributes["http.response.status_code"], server.attributes["gridtie.code"]) == (
        404,
        "model_not_found",
    )
    assert server.attributes["gridtie.outcome"] == "refused"
    assert 'no model "nobody"' in server.attributes["gridtie.error"]
    # A client's mistake is no error of the server's.
    assert not server.failed
    assert "error.type" not in server.attributes
    assert (server.trace_id, server.parent_id) == (TRACE_ID, PARENT_ID)


def test_a_body_that_cannot_be_read_is_in_a_trace_as_well(tmp_path: Path) -> None:
    found = traced(tmp_path, whole(answer()), body=b'{"messages": 1}', headers={"traceparent": TRACEPARENT})

    assert found.server.attributes["gridtie.code"] == "invalid_body"
    assert found.server.trace_id == TRACE_ID


def test_targets_that_a_rule_names_and_nobody_asked_are_told_with_their_reason(tmp_path: Path) -> None:
    found = traced(tmp_path, error("500 Internal Server Error", "out of order"), headers={"x-gridtie-tags": "private"})

    (attempt,) = found.attempts
    assert attempt.attributes["gridtie.target"] == "here/small"
    assert any("tagged private" in each for each in found.server.attributes["gridtie.skipped"])
    assert found.server.failed


def test_a_streamed_answer_tells_when_its_first_token_came(tmp_path: Path) -> None:
    found = traced(tmp_path, stream("Hel", "lo"), body=chat(stream=True))
    (attempt,) = found.attempts

    assert found.answered.text == "Hello"
    assert attempt.attributes["gen_ai.request.stream"] is True
    assert 0 < attempt.attributes["gen_ai.response.time_to_first_chunk"] <= (attempt.end - attempt.start) / 1e9


def test_an_answer_that_breaks_off_is_an_error_although_its_status_is_200(tmp_path: Path) -> None:
    found = traced(tmp_path, cut(event("Hel")), body=chat(stream=True))

    assert found.server.attributes["http.response.status_code"] == 200
    assert found.server.failed
    assert found.attempts[0].attributes["error.type"] == "broken"


def test_the_clients_trace_goes_on_through_the_attempt(tmp_path: Path) -> None:
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=abc,other=1"}
    found = traced(tmp_path, whole(answer()), headers=headers)
    (attempt,) = found.attempts

    assert (found.server.trace_id, found.server.parent_id) == (TRACE_ID, PARENT_ID)
    assert found.server.state == "vendor=abc,other=1"
    assert found.local[0].headers["traceparent"] == f"00-{TRACE_ID}-{attempt.span_id}-01"
    assert found.local[0].headers["tracestate"] == "vendor=abc,other=1"


def test_each_target_gets_the_span_of_its_own_attempt_and_a_cloud_nothing_of_other_tracers(tmp_path: Path) -> None:
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=abc"}
    found = traced(tmp_path, error("500 Internal Server Error", "out of order"), headers=headers)
    first, second = found.attempts

    assert found.local[0].headers["traceparent"] == f"00-{TRACE_ID}-{first.span_id}-01"
    assert found.cloud[0].headers["traceparent"] == f"00-{TRACE_ID}-{second.span_id}-01"
    assert first.span_id != second.span_id
    assert "tracestate" not in found.cloud[0].headers


def test_what_is_no_trace_context_begins_a_trace_of_its_own(tmp_path: Path) -> None:
    headers = {"traceparent": f"00-{TRACE_ID}-xyz-01", "tracestate": "a=b"}
    found = traced(tmp_path, whole(answer()), headers=headers)

    assert found.server.parent_id == ""
    assert found.local[0].headers["traceparent"].split("-")[1] == found.server.trace_id
    assert "tracestate" not in found.local[0].headers


def test_a_client_that_does_not_record_its_trace_is_not_recorded_here_and_is_passed_on(tmp_path: Path) -> None:
    found = traced(tmp_path, whole(answer()), headers={"traceparent": TRACEPARENT[:-2] + "00"})

    assert found.spans == []
    told = found.local[0].headers["traceparent"].split("-")
    assert (told[1], told[3]) == (TRACE_ID, "00")


class TestPrompts:
    ALLOWED = "traces: {prompts: true}\n"

    def test_no_text_and_no_key_is_in_what_a_collector_gets(self, tmp_path: Path) -> None:
        found = traced(tmp_path, whole(answer("Eberesche")), headers={"x-gridtie-agent": "planner"})

        assert found.answered.status == 200
        assert found.raw
        for word in (SECRET_WORD, "Eberesche", "gt-", "station"):
            assert word.encode() not in found.raw
        assert found.server.attributes["gridtie.agent"] == "planner"

    def test_a_person_can_allow_the_prompts_and_not_the_answers(self, tmp_path: Path) -> None:
        found = traced(tmp_path, whole(answer("Eberesche")), more=self.ALLOWED)

        said = json.loads(found.attempts[0].attributes["gen_ai.input.messages"])
        assert said == [{"role": "user", "parts": [{"type": "text", "content": SECRET_WORD}]}]
        assert b"Eberesche" not in found.raw

    def test_what_is_tagged_private_stays_out_all_the_same(self, tmp_path: Path) -> None:
        found = traced(tmp_path, whole(answer()), more=self.ALLOWED, headers={"x-gridtie-tags": "private"})

        assert len(found.attempts) == 1
        assert SECRET_WORD.encode() not in found.raw


def test_a_collector_that_never_answers_keeps_neither_answers_nor_memory_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "QUEUED", exporting.BATCH)

    async def ask(traces: str, name: str) -> tuple[float, float, str]:
        async with Upstream(whole(answer())) as local:
            async with Station(tmp_path / name, routing(local.url), traces=traces) as station:
                times = []
                for _ in range(150):
                    began = monotonic()
                    assert (await station.ask(chat())).status == 200
                    times.append(monotonic() - began)
                metrics = (await station.ask(path="/metrics")).body.decode()
                began = monotonic()
            return sorted(times)[len(times) // 2], monotonic() - began, metrics

    with collector(Mode.HANGS) as found:
        without, _, silent = run(lambda: ask("", "without"))
        median, ended, metrics = run(lambda: ask(found.url, "with"))
        assert found.asked.is_set()

    # A request that waited for it would take five seconds, and the end as long for each of two batches.
    assert median < without + 0.2
    assert ended < 6
    assert 'gridtie_traced_requests_total{result="sent"} 0.0' in metrics
    # One batch is on its way and one waits, at most; what found no room is counted.
    assert float(metrics.split('gridtie_traced_requests_total{result="dropped"} ')[1].split()[0]) >= 150 - 2 * 64
    assert 'result="sent"' not in silent


def test_without_a_collector_nothing_of_opentelemetry_is_loaded() -> None:
    code = (
        "import sys, gridtie.gateway.serve; names = ('opentelemetry', 'gridtie.gateway.traces', 'requests'); "
        "sys.exit(any(module.startswith(names) for module in sys.modules))"
    )
    source = str(Path(__file__).parents[2] / "src")
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": source}, check=False).returncode == 0


def test_without_a_collector_a_clients_trace_goes_nowhere(tmp_path: Path) -> None:
    async def ask() -> list[Turn]:
        async with Upstream(whole(answer())) as local, Station(tmp_path, routing(local.url)) as station:
            await station.ask(chat(), headers={"traceparent": TRACEPARENT})
            return local.turns

    assert "traceparent" not in run(ask)[0].headers
