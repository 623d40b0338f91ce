"""TLS in connection: what is spoken, which certificate is shown, and how one takes the place of another."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.config.problems import ConfigError
from gridtie.gateway.certificate import Certificate
from gridtie.gateway.serve import Options
from standins.authority import make_authority
from standins.router import Station, chat, request, routing, run
from standins.scripted import DONE, SSE, USAGE, Turn, Upstream, event, stream, whole

# A router whose only engine is not there.
RULES = routing("http://127.0.0.1:1/v1", use="[local]")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("first")
    make_authority(directory)
    return directory


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("second")
    make_authority(directory)
    return directory


def trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority / "ca.pem")


async def shows(station: Station, authority: Path) -> bool:
    """Whether a new connection is shown a certificate of this authority."""
    try:
        await station.connect(ssl=trusting(authority), server_hostname="localhost")
    except ssl.SSLCertVerificationError:
        return False
    return True


def renew(station: Station, source: Path) -> None:
    """As the playbook does it: one rename."""
    draft = station.config / "tls" / ".draft"
    shutil.copy(source, draft)
    draft.replace(station.config / "tls" / "server.pem")


def test_a_chat_is_answered_over_tls_and_over_loopback_without(tmp_path: Path, first: Path) -> None:
    async def work() -> None:
        async with Upstream(whole()) as upstream:
            rules = routing(upstream.url, use="[local]")
            async with Station(tmp_path, rules, certificate=first / "server.pem") as station:
                secure = await station.connect(ssl=trusting(first), server_hostname="localhost")
                await secure.send(request(chat(), port=station.port))
                assert (await secure.answered()).status == 200
                assert (await station.ask(chat())).status == 200

    run(work)


def test_a_stream_goes_through_tls_whole(tmp_path: Path, first: Path) -> None:
    async def work() -> None:
        async with Upstream(stream("a", "b", "c")) as upstream:
            rules = routing(upstream.url, use="[local]")
            async with Station(tmp_path, rules, certificate=first / "server.pem") as station:
                wire = await station.connect(ssl=trusting(first), server_hostname="localhost")
                await wire.send(request(chat(stream=True), port=station.port))
                answered = await wire.answered()
                assert (answered.text, answered.whole) == ("abc", True)

    run(work)


def test_a_client_without_tls_gets_nothing_on_the_tls_port(tmp_path: Path, first: Path) -> None:
    async def work() -> None:
        async with Station(tmp_path, RULES, certificate=first / "server.pem") as station:
            reader, writer = await asyncio.open_connection("127.0.0.1", station.router.tls_port)
            writer.write(request(path="/healthz", port=station.port))
            try:
                said = await reader.read()
            except ConnectionError:
                said = b""
            assert b"HTTP/" not in said
            writer.transport.abort()

    run(work)


def test_versions_before_tls_1_2_are_not_spoken(tmp_path: Path, first: Path) -> None:
    async def work() -> None:
        async with Station(tmp_path, RULES, certificate=first / "server.pem") as station:
            context = trusting(first)
            context.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning):
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await station.connect(ssl=context, server_hostname="localhost")

    run(work)


def test_tls_1_3_is_taken_where_the_client_can(tmp_path: Path, first: Path) -> None:
    async def work() -> None:
        async with Station(tmp_path, RULES, certificate=first / "server.pem") as station:
            wire = await station.connect(ssl=trusting(first), server_hostname="localhost")
            assert wire.writer.get_extra_info("ssl_object").version() == "TLSv1.3"

    run(work)


def test_a_renewed_certificate_is_shown_and_a_stream_under_way_goes_on(
    tmp_path: Path, first: Path, second: Path
) -> None:
    async def work() -> None:
        gate = asyncio.Event()

        async def half(turn: Turn) -> None:
            await turn.send(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode())
            await turn.chunk(event("a"))
            await gate.wait()
            await turn.chunk(event("b") + event(finish="stop") + USAGE + DONE)
            await turn.send(b"0\r\n\r\n")

        async with Upstream(half) as upstream:
            rules = routing(upstream.url, use="[local]")
            async with Station(tmp_path, rules, certificate=first / "server.pem") as station:
                old = await station.connect(ssl=trusting(first), server_hostname="localhost")
                await old.send(request(chat(stream=True), port=station.port))
                await old.head()

                renew(station, second / "server.pem")
                await station.router.settings.reload()

                new = await station.connect(ssl=trusting(second), server_hostname="localhost")
                await new.send(request(path="/healthz", port=station.port))
                assert (await new.answered()).status == 200
                gate.set()
                assert b'"b"' in await old.reader.readuntil(b"[DONE]")

    run(work)


def test_a_broken_certificate_leaves_the_one_before_it_in_force(
    tmp_path: Path, first: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with Station(tmp_path, RULES, certificate=first / "server.pem") as station:
            (tmp_path / "broken.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
            renew(station, tmp_path / "broken.pem")
            await station.router.settings.reload()
            await station.connect(ssl=trusting(first), server_hostname="localhost")

    run(work)
    assert "stays in force" in caplog.text


def test_a_change_in_its_directory_is_noticed(tmp_path: Path, first: Path, second: Path) -> None:
    """Nobody has to tell the router: it watches the files."""

    async def work() -> None:
        async with Station(tmp_path, RULES, certificate=first / "server.pem") as station:
            await station.connect(ssl=trusting(first), server_hostname="localhost")
            renew(station, second / "server.pem")
            async with asyncio.timeout(10):
                while not await shows(station, second):
                    await asyncio.sleep(0.1)

    run(work)


@pytest.fixture(params=["missing", "no key", "not PEM", "a directory"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path, first: Path) -> Iterator[Path]:
    path = tmp_path / "server.pem"
    if request.param == "no key":
        text = (first / "server.pem").read_text()
        path.write_text(text[text.index("-----BEGIN CERTIFICATE") :])
    elif request.param == "not PEM":
        path.write_bytes(os.urandom(64))
    elif request.param == "a directory":
        path.mkdir()
    yield path


def test_an_unusable_certificate_is_fatal_at_start_and_named(unusable: Path) -> None:
    with pytest.raises(ConfigError, match=r"server\.pem"):
        Certificate(unusable)


def test_tls_is_not_listened_for_unless_it_is_asked_for() -> None:
    assert Options.read({}).tls is None
    assert Options.read({"GRIDTIE_TLS_LISTEN": "[::]:8443"}).tls == ("::", 8443)
