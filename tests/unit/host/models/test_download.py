"""Downloads resume, retry what may pass, and never keep the wrong content."""

from __future__ import annotations

import base64
import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.host.models.download import Fetcher, FetchError, NotReachedError, shown
from standins import httpd
from standins.model_registry import Registry, serving

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as found:
        found.files["/blobs/x"] = CONTENT
        yield found


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def fetcher(pauses: list[float]) -> Fetcher:
    return Fetcher(pause=pauses.append)


def fetch(registry: Registry, fetcher: Fetcher, partial: Path, sha256: str = SHA256) -> list[int]:
    seen: list[int] = []
    fetcher.download(registry.url + "/blobs/x", partial, sha256, seen.append)
    return seen


def test_a_file_arrives_whole_and_progress_is_told(registry: Registry, fetcher: Fetcher, tmp_path: Path) -> None:
    assert fetch(registry, fetcher, tmp_path / "p")[-1] == len(CONTENT)
    assert (tmp_path / "p").read_bytes() == CONTENT


def test_what_a_killed_run_left_is_continued(registry: Registry, fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(CONTENT[:1000])
    fetch(registry, fetcher, tmp_path / "p")

    assert registry.ranges("x") == ["bytes=1000-"]
    assert (tmp_path / "p").read_bytes() == CONTENT


def test_a_cut_transfer_continues_where_it_was_cut(
    registry: Registry, fetcher: Fetcher, tmp_path: Path, pauses: list[float]
) -> None:
    registry.cut_after = [3000, 2000]
    fetch(registry, fetcher, tmp_path / "p")

    assert registry.ranges("x") == ["", "bytes=3000-", "bytes=5000-"]
    assert pauses == [1.0, 2.0]


def test_a_complete_remainder_is_only_checked(registry: Registry, fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(CONTENT)

    fetch(registry, fetcher, tmp_path / "p")


def test_a_damaged_remainder_is_fetched_anew(registry: Registry, fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"x" * 1000)
    fetch(registry, fetcher, tmp_path / "p")

    assert (tmp_path / "p").read_bytes() == CONTENT


def test_wrong_content_is_an_error_and_is_not_kept(registry: Registry, fetcher: Fetcher, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"has the wrong content: sha256 {SHA256}, wanted {'0' * 64}"):
        fetch(registry, fetcher, tmp_path / "p", "0" * 64)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_error_that_may_pass_is_tried_again(
    registry: Registry, fetcher: Fetcher, tmp_path: Path, status: int
) -> None:
    registry.statuses = [status, status]

    assert fetch(registry, fetcher, tmp_path / "p")[-1] == len(CONTENT)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_error_that_stays_is_told_at_once(
    registry: Registry, fetcher: Fetcher, tmp_path: Path, status: int, pauses: list[float]
) -> None:
    registry.statuses = [status]

    with pytest.raises(FetchError, match=f"/blobs/x cannot be fetched: HTTP {status}"):
        fetch(registry, fetcher, tmp_path / "p")
    assert not pauses


def test_a_server_that_stays_down_is_given_up_after_six_tries(fetcher: Fetcher, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"after 6 tries: .*refused"):
        fetcher.download("http://127.0.0.1:9/x", tmp_path / "p", "", lambda _: None)


def test_a_connection_that_was_never_made_is_told_apart(fetcher: Fetcher, tmp_path: Path) -> None:
    with pytest.raises(NotReachedError):
        fetcher.download("http://127.0.0.1:9/x", tmp_path / "p", "", lambda _: None)


@pytest.mark.parametrize(
    ("statuses", "cut_after"), [([404], []), ([503] * 6, []), ([], [10] * 6)], ids=["not there", "broken", "cut"]
)
def test_a_server_that_answered_was_reached(
    registry: Registry, fetcher: Fetcher, tmp_path: Path, statuses: list[int], cut_after: list[int]
) -> None:
    registry.statuses, registry.cut_after = statuses, cut_after

    with pytest.raises(FetchError) as raised:
        fetch(registry, fetcher, tmp_path / "p")
    assert not isinstance(raised.value, NotReachedError)


def test_a_line_that_is_cut_again_and_again_gets_there_while_it_brings_something(
    registry: Registry, tmp_path: Path, pauses: list[float]
) -> None:
    registry.cut_after = [1000] * 9
    fetch(registry, Fetcher(pause=pauses.append, gain=1000), tmp_path / "p")

    assert pauses == [1.0] * 9
    assert (tmp_path / "p").read_bytes() == CONTENT


def test_the_pause_that_a_server_asks_for_is_kept(
    registry: Registry, fetcher: Fetcher, tmp_path: Path, pauses: list[float]
) -> None:
    registry.statuses, registry.retry_after = [429, 503], "7"
    fetch(registry, fetcher, tmp_path / "p")

    assert pauses == [7.0, 7.0]


def test_a_full_disk_is_told_at_once(
    registry: Registry, fetcher: Fetcher, tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gridtie.host.models.download.os.fsync", full)
    with pytest.raises(FetchError, match="No space left on device"):
        fetch(registry, fetcher, tmp_path / "p")
    assert not pauses


def test_a_small_document_has_a_limit(registry: Registry, fetcher: Fetcher) -> None:
    with pytest.raises(FetchError, match="sends more than 100 bytes"):
        fetcher.read(registry.url + "/blobs/x", most=100)


def test_only_the_web_is_downloaded_from(fetcher: Fetcher) -> None:
    with pytest.raises(FetchError, match="only http and https"):
        fetcher.read("file:///etc/passwd")


def test_a_url_is_shown_without_its_secrets() -> None:
    assert shown("https://me:secret@host:8443/a/b?sig=secret") == "https://host:8443/a/b"


@pytest.mark.parametrize(("account", "sent"), [("alice:s3cret%21", "alice:s3cret!"), ("hf_s3cret", "hf_s3cret:")])
def test_who_asks_may_stand_in_the_address_and_is_told_to_the_server(account: str, sent: str, tmp_path: Path) -> None:
    with httpd.serving() as server:
        server.answers["/m"] = (200, {})
        Fetcher(tries=1).read(server.url.replace("//", f"//{account}@") + "/m")

    assert base64.b64decode(server.asked[0].headers["authorization"].removeprefix("Basic ")).decode() == sent


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:s3cret/m.gguf",
        "https://alice:s3cret@127.0.0.1:s3cret/m.gguf",
        "http://127.0.0.1:9/a b/m.gguf?signature=s3cret",
        "http://[s3cret/m.gguf",
        "http://alice:s3cret@127.0.0.1:9/m.gguf",
    ],
)
def test_an_address_that_cannot_be_asked_is_told_without_what_is_secret_in_it(url: str) -> None:
    with pytest.raises(FetchError) as error:
        Fetcher(tries=1).read(url)
    assert "s3cret" not in str(error.value)
