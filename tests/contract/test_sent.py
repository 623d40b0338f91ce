"""What the agents send, asked again of every kind of target: recorded by record_sent.py, with filler for their texts.

An agent that is not installed here is held to all the same, with each field, header, tool and result that it sends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from clients.agents import AGENTS
from clients.filler import filled
from standins.cloud import Cloud
from standins.fixtures import RouterProcess
from standins.targets import SECRETS, TARGETS, every_target

SENT = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "sent").glob("*.json"))}
EACH = [pytest.param(client, number, id=f"{client}-{number}") for client in SENT for number in range(len(SENT[client]))]
ENDS = (b"data: [DONE]", b"event: response.completed", b"event: message_stop", b'"done":true', b'"done": true')


@pytest.fixture(scope="module")
def router(shared_cloud: Cloud, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    process = RouterProcess(
        tmp_path_factory.mktemp("router"), every_target(shared_cloud, authority, ("agent",)), SECRETS
    )
    yield process
    assert process.stop() == 0


def test_every_agent_was_recorded() -> None:
    assert sorted(SENT) == sorted({agent.row for agent in AGENTS})


@pytest.mark.parametrize(("client", "number"), EACH)
def test_no_text_of_theirs_is_kept(client: str, number: int) -> None:
    """Filled once more, nothing changes; and no key."""
    sent = SENT[client][number]

    assert filled(sent.get("body")) == sent.get("body")
    assert "gt-" not in json.dumps(sent)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("client", "number"), EACH)
def test_every_kind_of_target_answers_it(
    router: RouterProcess, cloud: Cloud, client: str, number: int, target: str
) -> None:
    """No field of it is refused, and the answer comes whole, to its end."""
    sent: dict[str, Any] = SENT[client][number]
    headers = {name: value.replace("KEY", router.key) for name, value in sent["headers"].items()}
    body = json.dumps(sent["body"] | {"model": f"{target}-agent"}).encode() if "body" in sent else None

    answer = httpx2.request(
        sent["method"], f"{router.url}{sent['path']}", content=body, headers=headers, trust_env=False
    )

    assert answer.status_code == 200, answer.text
    if body and sent["body"].get("stream"):
        assert any(end in answer.content for end in ENDS), answer.text
        assert b"turn" in answer.content
    if {"messages", "input"} & set(sent.get("body", ())):
        assert [request.dialect for request in cloud.requests] == [target]
