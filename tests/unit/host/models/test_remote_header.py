"""The header of a file that is somewhere else: resumed where it broke, bounded, and never believed beyond its bytes."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.host.fit.header import MOST_BYTES, GgufError
from gridtie.host.models.download import Fetcher, FetchError
from gridtie.host.models.gguf_file import read_header
from gridtie.host.models.remote_header import read_remote_header
from standins import fit_shapes, header_gguf
from standins.model_hub import Hub, serving

MIB = 1 << 20
FETCHER = Fetcher(tries=3, pause=lambda seconds: None)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as found:
        yield found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with a large vocabulary: its header has some 11 MiB, more than the first request asks for."""
    wanted = next(header for header in fit_shapes.headers() if header.name == "qwen3-8b")
    words = [f"{number:060d}" for number in range(170_000)]
    path = tmp_path / "model.gguf"
    header_gguf.write(path, wanted.architecture, {**wanted.keys, "tokenizer.ggml.tokens": words})
    return path


def url_of(hub: Hub, path: Path) -> str:
    hub.storage["/file.gguf"] = path
    return f"{hub.storage_url}/file.gguf"


def lying(path: Path, *parts: bytes) -> Path:
    """A file that begins as a GGUF with three keys, and goes on with what a test says, in a hole of 80 MiB."""
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 3) + b"".join(parts))
        file.truncate(80 * MIB)
    return path


def key(name: str, kind: int) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind)


def test_only_the_header_of_a_large_file_is_fetched(hub: Hub, model: Path) -> None:
    found = read_remote_header(url_of(hub, model), FETCHER)

    assert found.header == read_header(model)
    assert found.bytes == model.stat().st_size > 3000 * MIB
    with model.open("rb") as file:
        assert found.raw == file.read(found.header.size)
    assert hub.sent <= 18 * MIB
    assert [asked.range for asked in hub.asked] == ["bytes=0-8388607", "bytes=8388608-16777215"]


def test_a_connection_that_breaks_is_continued_where_it_broke(hub: Hub, model: Path) -> None:
    hub.cut_after = [3_000_000, 2_000_000]
    found = read_remote_header(url_of(hub, model), FETCHER)

    assert found.header == read_header(model)
    assert [asked.range.partition("-")[0] for asked in hub.asked][:3] == ["bytes=0", "bytes=3000000", "bytes=5000000"]


def test_a_server_that_ignores_ranges_is_read_on_in_its_one_answer(hub: Hub, model: Path) -> None:
    hub.ignores_ranges = True
    found = read_remote_header(url_of(hub, model), FETCHER)

    assert found.header == read_header(model)
    assert len(hub.asked) == 1


def test_a_server_that_ignores_ranges_and_breaks_off_is_not_read_forever(hub: Hub, model: Path) -> None:
    hub.ignores_ranges = True
    hub.cut_after = [7_000_000] * 30

    with pytest.raises(FetchError, match="its header was not found in 64 MiB, and no more are read"):
        read_remote_header(url_of(hub, model), Fetcher(tries=100, pause=lambda seconds: None))
    assert hub.sent <= 80 * MIB


def test_another_part_than_was_asked_for_is_not_taken_for_it(hub: Hub, model: Path) -> None:
    hub.shifted = True

    with pytest.raises(FetchError, match="answers with another part of the file"):
        read_remote_header(url_of(hub, model), FETCHER)


def test_a_file_that_is_cut_is_told_by_its_header(hub: Hub, model: Path) -> None:
    with model.open("r+b") as file:
        file.truncate(100 * MIB)

    with pytest.raises(GgufError, match=r"it is cut: 104857600 bytes are there, its header speaks of \d+"):
        read_remote_header(url_of(hub, model), FETCHER)


def test_a_file_that_ends_in_its_header_is_told(hub: Hub, model: Path) -> None:
    with model.open("r+b") as file:
        file.truncate(9 * MIB)

    with pytest.raises(GgufError, match="it ends at byte 9437184, in the middle of its header"):
        read_remote_header(url_of(hub, model), FETCHER)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        pytest.param((key("a", 8), struct.pack("<Q", 1 << 42)), "a text of 4398046511104 bytes", id="terabytes"),
        pytest.param((key("a", 9), struct.pack("<IQ", 8, 1 << 40)), "claims an array of", id="an array of terabytes"),
        pytest.param((key("a", 9), struct.pack("<IQ", 0, 62 * MIB)), "has the key '' twice", id="millions of values"),
        pytest.param((key("a", 9), struct.pack("<IQ", 0, 64 * MIB)), "longer than 64 MiB", id="too many values"),
        pytest.param((key("a", 77),), "a value of the unknown kind 77", id="an unknown type"),
    ],
)  # fmt: skip
def test_a_header_that_lies_costs_no_more_than_64_mib(
    hub: Hub, tmp_path: Path, parts: tuple[bytes, ...], message: str
) -> None:
    url = url_of(hub, lying(tmp_path / "liar.gguf", *parts))
    tracemalloc.start()
    try:
        with pytest.raises(GgufError, match=message):
            read_remote_header(url, FETCHER)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * MOST_BYTES
    finally:
        tracemalloc.stop()
    assert hub.sent <= MOST_BYTES + 8 * MIB


def test_what_is_no_model_file_is_said_of_its_address_without_secrets(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>please log in</html>")
    url = url_of(hub, tmp_path / "page.html") + "?token=secret"

    with pytest.raises(GgufError, match=r"file.gguf: not a GGUF file that can be read: it does not begin with GGUF$"):
        read_remote_header(url, FETCHER)


def test_the_way_out_is_the_proxy_that_is_declared(hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, hub.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hub.storage["/far.gguf"] = model
    found = read_remote_header("http://models.example.test/far.gguf", FETCHER)

    assert found.header == read_header(model)
    assert {asked.path for asked in hub.asked} == {"http://models.example.test/far.gguf"}


def test_a_token_is_never_sent_in_clear_text_beyond_this_machine() -> None:
    with pytest.raises(FetchError, match="a token is sent by https alone") as raised:
        read_remote_header("http://models.example.test/far.gguf", Fetcher(token="hf_secret"))
    assert "hf_secret" not in str(raised.value)


def test_a_server_that_does_not_answer_is_given_up(hub: Hub) -> None:
    with pytest.raises(FetchError, match=r"after 3 tries: .*refused"):
        read_remote_header("http://127.0.0.1:9/x.gguf", FETCHER)
