"""A whole station, real engine and real router container: what an application gets on a good day and on bad ones."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from python_on_whales import docker

from gridtie.host.cli import main as host
from integration.station import Station

# About 12,000 tokens: more than the small model's whole context.
TOO_LONG = "red green blue " * 4000


def test_curl_gets_a_streamed_answer_with_the_printed_key(station: Station) -> None:
    body = (
        '{"model": "probe", "stream": true, "max_tokens": 16, "messages": [{"role": "user", "content": "Say hello."}]}'
    )
    command = ["curl", "-sSN", f"{station.endpoint}/v1/chat/completions", "-d", body]
    headers = ["-H", f"Authorization: Bearer {station.key}", "-H", "Content-Type: application/json"]

    answer = subprocess.run([*command, *headers], capture_output=True, text=True, check=True).stdout

    assert answer.count("data: ") > 3
    assert answer.rstrip().endswith("data: [DONE]")


def test_the_openai_sdk_streams_text_from_the_local_model(station: Station) -> None:
    client = openai.OpenAI(base_url=f"{station.endpoint}/v1", api_key=station.key)

    stream = client.chat.completions.create(
        model="smoke-test", messages=[{"role": "user", "content": "Say hello."}], max_tokens=16, stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    assert text.strip()


def test_development_traffic_is_answered_locally_and_costs_nothing(station: Station) -> None:
    answer = station.chat("Say hello.")

    assert answer.headers["x-gridtie-locality"] == "local"
    assert station.record(answer)["cost_usd"] == 0


def test_the_cost_report_runs_from_the_routers_image_beside_the_running_router(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = station.record(station.chat("Say hello.", headers={"x-gridtie-tags": "report"}))
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(station.config))
    period = ["report", "--since", str(int(asked["time"]) - 1), "--utc-offset", "0"]
    saved = tmp_path / "report.json"

    assert host([*period, "--json", "--out", str(saved)]) == 0
    assert host(["report", "--recompute", str(saved)]) == 0

    (tagged,) = [line for line in json.loads(saved.read_text())["by"]["tag"] if line["group"] == "report"]
    assert (tagged["local_requests"], tagged["output_tokens"]) == (1, asked["output_tokens"])
    assert tagged["electricity_usd"] > 0
    assert "every figure of the report agrees" in capfd.readouterr().err


@pytest.mark.usefixtures("with_cloud")
def test_with_the_engine_stopped_the_same_request_goes_to_the_configured_cloud(station: Station) -> None:
    with station.engine_stopped():
        answer = station.chat("Say hello.")

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-gridtie-locality"] == "cloud"


@pytest.mark.usefixtures("with_cloud")
def test_with_the_engine_stopped_a_private_request_is_refused(station: Station) -> None:
    with station.engine_stopped():
        answer = station.chat("Say hello.", headers={"x-gridtie-tags": "private"})

    # 503 once a probe has found the engine gone, 502 where this very request found it.
    assert answer.status_code in {502, 503}
    assert {tried["locality"] for tried in station.record(answer).get("tries", [])} <= {"local"}


@pytest.mark.usefixtures("with_cloud")
def test_production_goes_to_the_cloud_while_it_answers(station: Station) -> None:
    answer = station.chat("Say hello.", headers={"x-gridtie-environment": "production"})

    assert answer.headers["x-gridtie-locality"] == "cloud"
    assert station.record(answer)["cost_usd"] > 0


def test_a_chat_that_does_not_fit_is_refused_with_the_counts_and_never_cut(station: Station) -> None:
    answer = station.chat(TOO_LONG)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.usefixtures("with_cloud")
def test_a_chat_that_does_not_fit_goes_whole_to_a_model_that_takes_it(station: Station) -> None:
    answer = station.chat(TOO_LONG)

    assert answer.headers["x-gridtie-locality"] == "cloud"
    assert answer.json()["usage"]["prompt_tokens"] > 8192


@pytest.mark.usefixtures("with_cloud")
def test_a_private_chat_that_does_not_fit_stays_here_and_says_so(station: Station) -> None:
    answer = station.chat(TOO_LONG, headers={"x-gridtie-tags": "private"})

    assert answer.status_code == 400
    assert answer.headers.get("x-gridtie-locality") != "cloud"


def test_a_routing_file_with_a_mistake_is_refused_and_the_old_one_keeps_serving(station: Station) -> None:
    path = station.config / "llm_routing.yaml"
    good = path.read_text()
    try:
        station.write_routing(good + "\nrulez: []\n", accepted=False)
        assert station.chat("Say hello.").status_code == 200
        assert "rulez" in station.config_status()["error"]
    finally:
        path.write_text(good)


def test_answers_that_clients_saw_are_in_the_ledger_after_the_router_is_killed_under_load(station: Station) -> None:
    seen: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        with station.client() as client:
            while not stop.is_set():
                try:
                    answer = client.post("/v1/chat/completions", json=SHORT)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    seen.append(answer.headers["x-gridtie-request-id"])

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        time.sleep(5)
        docker.kill(station.router, signal="KILL")
        stop.set()
    docker.start(station.router)
    station.wait_until_ready()

    assert len(seen) > 3
    assert [id for id in seen if not known(station, id)] == []


SHORT: dict[str, Any] = {
    "model": "probe",
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 4,
}


def known(station: Station, request: str) -> bool:
    with station.client() as client:
        return client.get(f"/gridtie/requests/{request}").status_code == 200


def test_usage_counts_every_request_with_where_it_went(station: Station) -> None:
    with station.client() as client:
        before = client.get("/gridtie/usage").json()
        answer = station.chat("Say hello.")
        after = client.get("/gridtie/usage").json()

    assert answer.status_code == 200, answer.text
    assert after["totals"]["local_requests"] == before["totals"]["local_requests"] + 1


def test_the_embedded_engine_answers_through_its_router(embedded_station: Station) -> None:
    answer = embedded_station.chat("Say hello.")

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-gridtie-locality"] == "local"


def test_the_embedded_engine_refuses_what_does_not_fit(embedded_station: Station) -> None:
    answer = embedded_station.chat(TOO_LONG)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
