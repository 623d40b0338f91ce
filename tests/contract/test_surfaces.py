"""Every surface in front of every kind of target: what a client gets, what upstream was asked, what the ledger has."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from faults.wire import INPUT, OUTPUT
from standins.router import Answered, Station, run
from standins.scripted import Turn, Upstream
from standins.scripted import error as refusing
from standins.surfaces import CHATS, EMBEDDINGS, FILLS, SURFACES, VECTOR, Surface, answer, asked, is_error, said, units

TARGETS = ("openai", "ollama", "anthropic")
TEXT = "hello there"
# What Anthropic's API has not.
CHATS_ONLY = ("anthropic",)
PAIRS = [
    (name, target)
    for name in SURFACES
    for target in TARGETS
    if name in CHATS or target not in CHATS_ONLY
]  # fmt: skip


def file(target: str, url: str) -> str:
    """One alias, `coder`, at a local target of one dialect. JSON is YAML."""
    here = {"type": target, "base_url": url if target == "openai" else url.removesuffix("/v1"), "locality": "local"}
    return json.dumps(
        {
            "version": 1,
            "providers": {"here": here},
            "models": {"coder": {"local": "here/small"}},
            "rules": [{"name": "all", "use": ["local"]}],
        }
    )


def ask(
    directory: Path, target: str, surface: Surface, body: Any, play: Any = answer
) -> tuple[Answered, Any, list[Turn]]:
    """The answer, its row, and what upstream was asked."""

    async def work() -> tuple[Answered, Any, list[Turn]]:
        async with Upstream(play) as here, Station(directory, file(target, here.url)) as router:
            answered = await router.ask(body, path=surface.path)
            row = await router.entry(answered) if "x-gridtie-request-id" in answered.headers else None
            return answered, row, here.turns

    return run(work)


@pytest.mark.parametrize(
    ("name", "target", "streamed"),
    [(*pair, streamed) for pair in PAIRS for streamed in (False, True) if not (streamed and pair[0] in EMBEDDINGS)],
)
def test_an_answer(tmp_path: Path, name: str, target: str, streamed: bool) -> None:
    """The text arrives, in the client's form; the row has the family's name and the tokens that upstream counted."""
    surface = SURFACES[name]
    body = asked(surface, "say it", streamed=None if name in EMBEDDINGS else streamed)

    answered, row, turns = ask(tmp_path, target, surface, body)

    assert answered.status == 200, answered.body
    kind = answered.headers["content-type"]
    if streamed:
        assert said(surface, kind, answered.body) == (TEXT, True)
    elif name in EMBEDDINGS:
        assert (kind, json.loads(surface.whole(answered.json))) == ("application/json", VECTOR)
    else:
        assert (kind, surface.whole(answered.json)) == ("application/json", TEXT)
    assert (row["surface"], row["input_tokens"]) == (surface.family, INPUT)
    assert row.get("output_tokens", 0) == (0 if name in EMBEDDINGS else OUTPUT)
    assert not row.get("estimated", False)
    assert turns[0].json["model"] == "small"


@pytest.mark.parametrize("name", [*FILLS, *EMBEDDINGS])
def test_a_target_that_cannot_is_said(tmp_path: Path, name: str) -> None:
    """Anthropic makes no vectors and fills no gaps: a sentence in the client's shape, and nothing is asked."""
    surface = SURFACES[name]
    answered, _, turns = ask(tmp_path, "anthropic", surface, asked(surface, "x"))

    assert answered.status == 400
    assert len(surface.error(answered.json)) > 20
    assert turns == []


@pytest.mark.parametrize(("name", "target"), PAIRS)
def test_an_error_of_upstreams_comes_in_the_clients_shape(tmp_path: Path, name: str, target: str) -> None:
    """Whichever dialect it was said in."""
    surface = SURFACES[name]
    play = refusing("500 Internal Server Error", "it broke")

    answered, row, _ = ask(tmp_path, target, surface, asked(surface, "x"), play)

    assert answered.status == 502
    assert "it broke" in surface.error(answered.json)
    assert row["status"] == 502


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"", 400),
        (b'{"model": 5}', 400),
        (b'{"model": "coder", "stream": "x"}', 400),
        (b'{"model": "coder", "x_gridtie_tags": "private"}', 400),
        (b'{"model": "nobody"}', 404),
    ],
)
def test_a_wrong_body_comes_back_in_the_clients_shape(tmp_path: Path, name: str, body: bytes, status: int) -> None:
    """A sentence; trying again is not encouraged; nothing is asked."""
    surface = SURFACES[name]
    if name in EMBEDDINGS and (b"stream" in body or status == 404):
        body, status = b'{"model": "coder"}', 400
    answered, _, turns = ask(tmp_path, "openai", surface, body)

    assert answered.status == status, answered.body
    assert len(surface.error(answered.json)) > 15
    assert answered.headers["x-should-retry"] == "false"
    assert turns == []


@pytest.mark.parametrize("name", SURFACES)
def test_the_front_speaks_the_clients_shape(tmp_path: Path, name: str) -> None:
    """A wrong key, a wrong method and a foreign page are refused before anybody reads the body."""
    surface = SURFACES[name]

    async def work() -> list[Answered]:
        async with Station(tmp_path, file("openai", "http://127.0.0.1:1/v1")) as router:
            return [
                await router.ask({}, path=surface.path, key="gt-" + "z" * 43),
                await router.ask(path=surface.path, method="PUT"),
                await router.ask({}, path=surface.path, headers={"origin": "https://evil.example"}),
            ]

    answers = run(work)

    assert [answered.status for answered in answers] == [401, 405, 403]
    assert all(len(surface.error(answered.json)) > 15 for answered in answers)


@pytest.mark.parametrize(("name", "target"), [pair for pair in PAIRS if pair[0] not in EMBEDDINGS])
def test_a_stream_that_breaks_off_ends_with_an_error(tmp_path: Path, name: str, target: str) -> None:
    """The text that came, an error in the client's shape, and no end."""
    surface = SURFACES[name]

    async def cut(turn: Turn) -> None:
        whole: list[bytes] = []

        class Kept:
            line, json = turn.line, turn.json

            async def send(self, data: bytes) -> None:
                whole.append(data)

        await answer(Kept())  # type: ignore[arg-type]
        at = whole[0].rindex(TEXT[-3:].encode()) + len(TEXT)
        at = whole[0].index(b"\n", at) + 2
        await turn.send(whole[0][:at])
        await asyncio.sleep(0.05)
        turn.abort()

    answered, row, _ = ask(tmp_path, target, surface, asked(surface, "x", streamed=True), cut)

    kind = answered.headers["content-type"]
    text, ended = said(surface, kind, answered.body)
    errors = [json.loads(unit) for unit in units(kind, answered.body) if is_error(unit)]
    assert (text, ended, row.get("complete", False), len(errors)) == (TEXT, False, False, 1)
    assert surface.error(errors[0])


def test_a_prompt_is_never_cut_by_an_ollama(tmp_path: Path) -> None:
    """Whoever asks: the server is told to refuse what does not fit, and the context is not the client's."""
    for name in SURFACES:
        surface = SURFACES[name]
        body = asked(surface, "x")
        if surface.family == "ollama" and name not in EMBEDDINGS:
            body["options"] = {"num_ctx": 99, "temperature": 0}
            body["keep_alive"] = "9h"
        _, _, turns = ask(tmp_path / name, "ollama", surface, body)
        sent = turns[0].json

        assert sent["truncate"] is False, name
        assert sent.get("shift", False) is False
        assert "num_ctx" not in sent.get("options", {})
        assert "keep_alive" not in sent


def test_vectors_in_base64_for_a_client_that_asks_for_them(tmp_path: Path) -> None:
    """OpenAI's own SDK does, of every server."""
    surface = EMBEDDINGS["openai embeddings"]
    body = asked(surface, "x") | {"encoding_format": "base64"}

    answered, _, _ = ask(tmp_path, "ollama", surface, body)

    packed = base64.b64decode(answered.json["data"][0]["embedding"])
    assert list(struct.unpack("<3f", packed)) == VECTOR


@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/batches", "/v1/rerank", "/rerank"])
def test_what_there_is_not_is_said(tmp_path: Path, path: str) -> None:
    async def work() -> Answered:
        async with Station(tmp_path, file("openai", "http://127.0.0.1:1/v1")) as router:
            return await router.ask({}, path=path)

    answered = run(work)

    assert answered.status == 404
    assert "serves no" in answered.error["message"]


class TestOllamasOtherPaths:
    def ask(self, directory: Path, path: str, body: Any = None, **options: Any) -> Answered:
        async def work() -> Answered:
            async with Station(directory, file("ollama", "http://127.0.0.1:1")) as router:
                return await router.ask(body, path=path, **options)

        return run(work)

    def test_what_there_is(self, tmp_path: Path) -> None:
        """Names, a digest of which clients show twelve characters, and a time that they can parse."""
        models = self.ask(tmp_path, "/api/tags").json["models"]

        assert [model["name"] for model in models] == ["coder", "small"]
        assert all(len(model["digest"]) >= 12 and model["modified_at"] for model in models)
        assert "version" in self.ask(tmp_path / "v", "/api/version").json
        assert self.ask(tmp_path / "p", "/api/ps").json["models"][0]["name"] == "small"

    @pytest.mark.parametrize("field", ["name", "model"])
    @pytest.mark.parametrize("name", ["coder", "Coder:latest"])
    def test_one_of_them(self, tmp_path: Path, field: str, name: str) -> None:
        """By either field's name; aider sends the older one."""
        shown = self.ask(tmp_path, "/api/show", {field: name}).json

        assert "completion" in shown["capabilities"]
        assert shown["details"]["format"] == ""

    def test_one_whose_own_tag_is_latest(self, tmp_path: Path) -> None:
        """With the tag and without it: models of that tag could not be shown at all."""

        async def work() -> list[Answered]:
            routing = file("ollama", "http://127.0.0.1:1").replace("here/small", "here/glm:latest")
            async with Station(tmp_path, routing) as router:
                return [await router.ask({"model": name}, path="/api/show") for name in ("glm", "glm:latest")]

        assert [answered.status for answered in run(work)] == [200, 200]

    @pytest.mark.parametrize("name", ["ollama chat", "ollama generate", "ollama fill", "ollama embed"])
    def test_one_is_asked_with_the_tag_that_clients_add(self, tmp_path: Path, name: str) -> None:
        """It was shown by that name, and then there was no such model to talk to. The ledger has the alias itself."""
        surface = SURFACES[name]

        answered, row, turns = ask(tmp_path, "ollama", surface, asked(surface, "x", model="coder:latest"))

        assert (answered.status, row["asked"], turns[0].json["model"]) == (200, "coder", "small")

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        answered = self.ask(tmp_path, "/api/show", {"model": "nobody"})

        assert (answered.status, "not found" in answered.json["error"]) == (404, True)

    @pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
    def test_a_model_that_is_to_be_loaded(self, tmp_path: Path, path: str) -> None:
        """The CLI asks so before it talks; the station loads its models itself."""
        answered = self.ask(tmp_path, path, {"model": "coder"})

        assert (answered.status, answered.json["done_reason"]) == (200, "load")

    @pytest.mark.parametrize(
        ("path", "method"),
        [("/api/pull", "POST"), ("/api/create", "POST"), ("/api/copy", "POST"), ("/api/delete", "DELETE")],
    )
    def test_what_would_change_the_station(self, tmp_path: Path, path: str, method: str) -> None:
        answered = self.ask(tmp_path, path, {"model": "coder"}, method=method)

        assert answered.status == 403
        assert "make site" in answered.json["error"]
