"""Conversations that go on by the id of an answer, through a whole router."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from standins.router import OTHER_KEY, Answered, Station, routing, run
from standins.scripted import Turn, Upstream, answer, cut, event, stream, whole

PATH = "/v1/responses"
SECRET = "xyzzy-the-words-of-a-conversation"


def keeping(local: str, cloud: str = "", **rules: object) -> str:
    said = ", ".join(f"{name}: {value}" for name, value in ({"keep": "true"} | rules).items())
    return routing(local, cloud) + f"responses: {{{said}}}\n"


async def ask(station: Station, text: str, previous: str | None = None, **more: Any) -> Answered:
    fields = {name: more.pop(name) for name in ("store", "stream", "instructions") if name in more}
    body = {"model": "coder", "input": text, "previous_response_id": previous} | fields
    return await station.ask(body, path=PATH, **more)


def final(answered: Answered) -> dict[str, Any]:
    """The response that an answer is, or ends with."""
    if not answered.body.startswith(b"event:"):
        return dict(answered.json)
    last = answered.body.rstrip().rpartition(b"\ndata: ")[2]
    return dict(json.loads(last)["response"])


def told(upstream: Upstream) -> list[tuple[str, Any]]:
    """The messages of the last request that arrived."""
    return [(message["role"], message["content"]) for message in upstream.turns[-1].json["messages"]]


@pytest.mark.parametrize("streams", [False, True])
def test_a_conversation_goes_on_by_the_id_of_its_last_answer(tmp_path: Path, *, streams: bool) -> None:
    """Turn after turn; instructions are those of each request alone. The server is asked for all of it."""

    async def turns() -> None:
        async with Upstream(stream("hel", "lo")) as here, Station(tmp_path, keeping(here.url)) as station:
            first = final(await ask(station, "one", instructions="Be kind.", stream=streams))
            second = final(await ask(station, "two", first["id"], stream=streams))
            await ask(station, "three", second["id"], stream=streams)

            assert told(here) == [
                ("user", "one"), ("assistant", "hello"), ("user", "two"), ("assistant", "hello"), ("user", "three"),
            ]  # fmt: skip
            assert (first["store"], first["previous_response_id"]) == (True, None)
            assert second["previous_response_id"] == first["id"]
            # A branch: an earlier answer may be gone on from as well.
            await ask(station, "else", first["id"])
            assert told(here) == [("user", "one"), ("assistant", "hello"), ("user", "else")]

    run(turns)


@pytest.mark.parametrize("streams", [False, True])
def test_a_request_that_has_instructions_alone_is_answered_and_gone_on_from(tmp_path: Path, *, streams: bool) -> None:
    """A prompt may stand in `instructions`, with no `input` beside it."""

    async def asked() -> list[tuple[str, Any]]:
        async with Upstream(stream("hel", "lo")) as here, Station(tmp_path, keeping(here.url)) as station:
            body = {"model": "coder", "instructions": "Say hello.", "stream": streams}
            first = final(await station.ask(body, path=PATH))
            await ask(station, "two", first["id"])
            return told(here)

    assert run(asked) == [("assistant", "hello"), ("user", "two")]


def test_calls_and_their_results_go_on_as_well(tmp_path: Path) -> None:
    """As agents ask: a tool's result alone, for a call of the answer before."""
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    said = json.loads(answer())
    said["choices"][0] = {"index": 0, "message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "stop"}

    async def turns() -> list[dict[str, Any]]:
        async with (
            Upstream(whole(json.dumps(said).encode()), stream("3")) as here,
            Station(tmp_path, keeping(here.url)) as station,
        ):
            first = final(await ask(station, "add"))
            result = [{"type": "function_call_output", "call_id": "call_1", "output": "3"}]
            body = {"model": "coder", "previous_response_id": first["id"], "input": result}
            assert (await station.ask(body, path=PATH)).status == 200
            return list(here.turns[-1].json["messages"])

    _, called, result = run(turns)
    assert called["tool_calls"][0]["function"] == call["function"]
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", "call_1", "3")


def test_every_answer_has_an_id_of_its_own_whatever_upstream_calls_it(tmp_path: Path) -> None:
    """Some servers call every answer the same: one conversation must not go on as another."""

    async def ids() -> list[str]:
        async with Upstream(stream("a")) as here, Station(tmp_path, keeping(here.url)) as station:
            answers = [await ask(station, "x") for _ in range(2)]
            for each in answers:
                assert final(each)["id"] == f"resp_{each.headers['x-gridtie-request-id']}"
            return [final(each)["id"] for each in answers]

    assert len(set(run(ids))) == 2


def refused(found: Answered) -> str:
    assert (found.status, found.error["code"]) == (400, "previous_response_not_found"), found.body
    assert found.headers["x-should-retry"] == "false"
    assert SECRET.encode() not in found.body
    return str(found.error["message"])


def test_no_other_key_goes_on_with_it(tmp_path: Path) -> None:
    """Nor learns that it is there: the answer is that of an id that nobody has."""

    async def asked() -> tuple[str, str, int]:
        async with Upstream(stream("a")) as here, Station(tmp_path, keeping(here.url)) as station:
            first = final(await ask(station, SECRET))
            other = refused(await ask(station, "x", first["id"], key=OTHER_KEY))
            nobody = refused(await ask(station, "x", "resp_nobody", key=OTHER_KEY))
            return other, nobody, len(here.turns)

    other, nobody, sent = run(asked)
    assert other == nobody
    assert sent == 1


def test_what_must_not_be_stored_is_not_kept(tmp_path: Path) -> None:
    async def asked() -> str:
        async with Upstream(stream("a")) as here, Station(tmp_path, keeping(here.url)) as station:
            first = final(await ask(station, SECRET, store=False))
            assert first["store"] is False
            assert (len(station.router.kept), station.router.kept.bytes) == (0, 0)
            return refused(await ask(station, "x", first["id"]))

    assert "`store: false`" in run(asked)


def test_an_answer_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    """Nobody can go on from half of one."""

    async def asked() -> int:
        async with (
            Upstream(cut(event(role=True), event("half"))) as here,
            Station(tmp_path, keeping(here.url)) as station,
        ):
            await ask(station, SECRET, stream=True)
            return len(station.router.kept)

    assert run(asked) == 0


def test_where_it_is_off_the_setting_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    async def asked() -> tuple[Answered, int]:
        async with Upstream(stream("a")) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            first = final(await ask(station, SECRET))
            assert first["store"] is False
            return await ask(station, "x", first["id"]), len(station.router.kept)

    answered, kept = run(asked)
    assert (answered.status, kept) == (400, 0)
    assert "responses.keep: true" in answered.error["message"]


def test_what_is_too_old_or_switched_off_is_gone(tmp_path: Path) -> None:
    """Within a second, and without a restart."""

    async def asked() -> None:
        async with Upstream(stream("a")) as here:
            async with Station(tmp_path, keeping(here.url, keep_seconds=0.3)) as station:
                first = final(await ask(station, "one"))
                await asyncio.sleep(0.6)
                assert len(station.router.kept) == 0
                assert "last 0.3 s" in refused(await ask(station, "x", first["id"]))
            async with Station(tmp_path, keeping(here.url)) as station:
                await ask(station, "one")
                assert len(station.router.kept) == 1
                (station.config / "llm_routing.yaml").write_text(routing(here.url, use="[local]"))
                await station.router.settings.reload()
                assert (len(station.router.kept), station.router.kept.bytes) == (0, 0)

    run(asked)


def test_a_later_holder_of_a_name_finds_nothing_of_the_one_before(tmp_path: Path) -> None:
    """Revoked, and a new key under the same name, both before the router looked again."""

    async def asked() -> str:
        async with Upstream(stream("a")) as here, Station(tmp_path, keeping(here.url)) as station:
            first = final(await ask(station, SECRET, key=OTHER_KEY))
            rows = json.loads((station.config / "keys.json").read_text())
            rows["keys"][1]["sha256"] = hashlib.sha256(b"gt-somebody-else").hexdigest()
            (station.config / "keys.json").write_text(json.dumps(rows))
            await station.router.settings.reload()
            assert (len(station.router.kept), station.router.kept.bytes) == (0, 0)
            return refused(await ask(station, "x", first["id"], key="gt-somebody-else"))

    assert "that this key got" in run(asked)


@pytest.mark.parametrize("between", [True, False])
def test_an_answer_under_way_while_its_key_is_replaced_is_not_the_later_holders(
    tmp_path: Path, *, between: bool
) -> None:
    """Ids are counted up, so that the later holder could name it. `between`: the name was nobody's for a while."""
    held = asyncio.Event()

    async def late(turn: Turn) -> None:
        await held.wait()
        await stream("a")(turn)

    async def asked() -> str:
        async with Upstream(late) as here, Station(tmp_path, keeping(here.url)) as station:
            asking = asyncio.ensure_future(ask(station, SECRET, key=OTHER_KEY))
            await here.turn()
            file = station.config / "keys.json"
            rows = json.loads(file.read_text())
            other = rows["keys"].pop(1)
            if between:
                file.write_text(json.dumps(rows))
                await station.router.settings.reload()
            rows["keys"].append(other | {"sha256": hashlib.sha256(b"gt-somebody-else").hexdigest()})
            file.write_text(json.dumps(rows))
            await station.router.settings.reload()
            held.set()
            first = final(await asking)
            assert (len(station.router.kept), station.router.kept.bytes) == (0, 0)
            return refused(await ask(station, "x", first["id"], key="gt-somebody-else"))

    assert "that this key got" in run(asked)


def test_what_was_private_stays_private_although_the_next_request_does_not_say_so(tmp_path: Path) -> None:
    """The words of the first are in the second, and its client may not even know them any more."""

    async def asked() -> tuple[list[Any], int, int]:
        async with (
            Upstream(stream("a"), whole(status="503 no")) as here,
            Upstream(stream("b")) as there,
            Station(tmp_path, keeping(here.url, there.url)) as station,
        ):
            tagged = {"x-gridtie-tags": "private"}
            first = final(await ask(station, SECRET, headers=tagged))
            second = await ask(station, "x", first["id"])
            third = await ask(station, "x")
            rows = [await station.entry(each) for each in (second, third)]
            return rows, second.status, len(there.turns)

    (second, third), status, sent = run(asked)
    assert (second["private"], status >= 500) == (True, True)
    assert (third.get("private", False), sent) == (False, 1)


@pytest.mark.parametrize("streams", [False, True])
def test_what_a_rule_kept_from_clouds_reaches_none_by_a_later_request(tmp_path: Path, *, streams: bool) -> None:
    """By a tag, here, which the next request leaves out; and the one after that."""
    secret = "rules:\n  - {name: secret, use: [local], never: cloud, when: {tags: [hipaa]}}"

    async def asked() -> tuple[list[Answered], int]:
        async with (
            Upstream(stream("a"), stream("b"), whole(status="503 no")) as here,
            Upstream(stream("c")) as there,
            Station(tmp_path, keeping(here.url, there.url).replace("rules:", secret)) as station,
        ):
            first = final(await ask(station, SECRET, headers={"x-gridtie-tags": "hipaa"}, stream=streams))
            second = final(await ask(station, "x", first["id"], stream=streams))
            return [await ask(station, "x", second["id"]), await ask(station, "x")], len(there.turns)

    (third, other), sent = run(asked)
    assert (third.status, other.status, sent) == (503, 200, 1)


def test_no_word_of_it_is_ever_on_disk(tmp_path: Path) -> None:
    async def asked() -> None:
        async with Upstream(stream(SECRET)) as here, Station(tmp_path, keeping(here.url)) as station:
            first = final(await ask(station, SECRET))
            await ask(station, SECRET, first["id"])
            assert station.router.kept.bytes > 4 * len(SECRET)
            await asyncio.to_thread(station.router.ledger.flush)

    run(asked)
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert any(each.name == "ledger.sqlite" for each in files)
    assert not [each for each in files if SECRET.encode() in each.read_bytes()]


def test_a_request_grows_no_larger_by_what_is_kept_than_it_may_be_sent(tmp_path: Path) -> None:
    """Doubling itself with each turn, a conversation soon would."""

    async def asked() -> tuple[Answered, int]:
        limits = "{max_body_bytes: 20000}"
        text = keeping(":", "").replace("limits: {}", f"limits: {limits}")
        async with Upstream(stream("a")) as here, Station(tmp_path, text.replace("':'", f"'{here.url}'")) as station:
            previous = None
            for _ in range(9):
                found = await ask(station, "x" * 9000, previous)
                if found.status != 200:
                    return found, len(here.turns)
                previous = final(found)["id"]
            raise AssertionError

    answered, sent = run(asked)
    assert (answered.status, answered.error["code"], sent) == (413, "body_too_large", 2)
    assert "limits.max_body_bytes" in answered.error["message"]


def test_what_is_recalled_counts_as_held_for_clients(tmp_path: Path) -> None:
    """A short request must not make the router hold what no client was let to send."""

    async def asked() -> Answered:
        text = keeping(":").replace("limits: {}", "limits: {max_body_bytes: 100000, held_bytes: 200000}")
        # Three such requests at once would be too much; one after another they are not.
        async with Upstream(stream("a")) as here, Station(tmp_path, text.replace("':'", f"'{here.url}'")) as station:
            first = final(await ask(station, "x" * 40000))
            for _ in range(5):
                assert (await ask(station, "y", first["id"])).status == 200
            assert station.router.held.total == 0
            station.router.held.holding("station").take(70_000)
            return await ask(station, "y", first["id"])

    answered = run(asked)
    assert (answered.status, answered.error["code"]) == (503, "overloaded")


@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_is_shown_again_and_what_it_answers_until_it_is_deleted(tmp_path: Path, *, streams: bool) -> None:
    """As its client got it; the conversation before it is among its items, the newest first."""

    async def asked() -> None:
        async with Upstream(stream("hel", "lo")) as here, Station(tmp_path, keeping(here.url)) as station:
            first = final(await ask(station, "one", stream=streams))
            second = final(await ask(station, "two", first["id"], stream=streams))
            at = f"{PATH}/{second['id']}"
            again, listed = await station.ask(path=at), await station.ask(path=f"{at}/input_items")
            assert (again.status, again.json) == (200, second)
            assert [item["content"][0]["text"] for item in listed.json["data"]] == ["two", "hello", "one"]
            gone = await station.ask(path=at, method="DELETE")
            assert gone.json == {"id": second["id"], "object": "response", "deleted": True}
            for method, path in (("GET", at), ("GET", f"{at}/input_items"), ("DELETE", at)):
                found = await station.ask(path=path, method=method)
                assert (found.status, found.error["code"]) == (404, "response_not_found")
            refused(await ask(station, "three", second["id"]))
            assert (await station.ask(path=f"{PATH}/{first['id']}")).json == first

    run(asked)


def test_items_come_in_pages_until_there_are_no_more(tmp_path: Path) -> None:
    """Also where a client has called several of them the same, or by half a character."""
    given = [{"role": "user", "content": str(number), "id": f"\ud800_{number // 2}"} for number in range(6)]

    async def pages(order: str) -> list[str]:
        async with Upstream(stream("a")) as here, Station(tmp_path, keeping(here.url)) as station:
            answered = final(await station.ask({"model": "coder", "input": given}, path=PATH))
            at, found, more = f"{PATH}/{answered['id']}/input_items?limit=4&order={order}", [], True
            while more:
                after = f"&after={quote(found[-1]['id'])}" if found else ""
                page = (await station.ask(path=at + after)).json
                found += page["data"]
                more = page["has_more"]
                assert page["last_id"] == (found[-1]["id"] if page["data"] else None)
                assert len(found) <= 6
            return [item["content"][0]["text"] for item in found]

    assert run(lambda: pages("asc")) == ["0", "1", "2", "3", "4", "5"]
    assert run(lambda: pages("desc")) == ["5", "4", "3", "2", "1", "0"]


def test_no_other_key_sees_or_deletes_it(tmp_path: Path) -> None:
    """Nor learns that it is there."""

    async def asked() -> None:
        async with Upstream(stream("a")) as here, Station(tmp_path, keeping(here.url)) as station:
            at = f"{PATH}/{final(await ask(station, SECRET))['id']}"
            for method, path in (("GET", at), ("GET", f"{at}/input_items"), ("DELETE", at)):
                found = await station.ask(path=path, key=OTHER_KEY, method=method)
                nobody = await station.ask(path=path.replace("resp_", "resp_x"), key=OTHER_KEY, method=method)
                assert (found.status, found.body) == (404, nobody.body)
            assert len(station.router.kept) == 1

    run(asked)


@pytest.mark.parametrize(
    ("rest", "status", "says"),
    [
        ("/input_items?limit=0", 400, "limit='0' found; wanted: from 1 to 100"),
        ("/input_items?limit=many", 400, "limit='many'"),
        ("/input_items?limit=99999999999999999999", 400, "limit="),
        ("/input_items?limit=0000000500", 400, "wanted: from 1 to 100"),
        (f"/input_items?limit=000000001{'0' * 5000}", 400, "wanted: from 1 to 100"),
        ("/input_items?order=up", 400, "wanted: asc or desc"),
        ("/input_items?after=nobody", 400, "no item of this answer"),
        ("?stream=true", 400, "ask without it"),
        ("/output_items", 404, "GET and DELETE /v1/responses/{id}"),
    ],
)
def test_what_cannot_be_shown_is_told_in_openais_shape(tmp_path: Path, rest: str, status: int, says: str) -> None:
    async def asked() -> Answered:
        async with Upstream(stream("a")) as here, Station(tmp_path, keeping(here.url)) as station:
            return await station.ask(path=f"{PATH}/{final(await ask(station, 'one'))['id']}{rest}")

    found = run(asked)
    assert found.status == status
    assert says in found.error["message"]
    assert found.headers["x-should-retry"] == "false"


def test_where_none_is_kept_a_404_names_the_setting(tmp_path: Path) -> None:
    """And what OpenAI has beside these is a 404 with a sentence as well."""

    async def asked() -> list[Answered]:
        async with Upstream(stream("a")) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            at = f"{PATH}/{final(await ask(station, SECRET))['id']}"
            ways: list[tuple[str, str]] = [
                ("GET", at),
                ("DELETE", at),
                ("POST", f"{at}/cancel"),
                ("POST", f"{PATH}/compact"),
            ]
            return [await station.ask(path=path, method=method) for method, path in ways]

    shown, deleted, *others = run(asked)
    for found in (shown, deleted):
        assert (found.status, found.error["code"]) == (404, "response_not_found")
        assert "responses.keep" in found.error["message"]
    for found in others:
        assert found.status == 404
        assert "background" in found.error["message"]


def test_metrics_say_how_much_is_kept(tmp_path: Path) -> None:
    async def asked() -> str:
        async with Upstream(stream("a")) as here, Station(tmp_path, keeping(here.url)) as station:
            await ask(station, "one")
            size = station.router.kept.bytes
            return (await station.ask(path="/metrics")).body.decode() + f"\n{size}"

    text = run(asked)
    size = text.rpartition("\n")[2]
    assert "gridtie_kept_answers 1.0" in text
    assert f"gridtie_kept_bytes {float(size)}" in text
