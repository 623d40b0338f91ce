"""What keeps vllm-router's servers those that the station names, against its paths as 0.1.17 has them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gridtie_vllm_router.servers import Server, Servers, authorities, wanted

from standins.httpd import Httpd, serving

A, B = "https://gpu-1:8443", "https://gpu-2:8443"


@pytest.fixture
def router() -> Iterator[Httpd]:
    with serving() as httpd:
        httpd.answers = {
            "/list_workers": (200, {"urls": []}),
            "/add_worker": (200, {}),
            "/remove_worker": (200, {}),
        }
        yield httpd


def name(directory: Path, *urls: str) -> Path:
    file = directory / "servers.json"
    rows = [{"name": url, "url": url, "ca_file": f"pool-{number}.pem"} for number, url in enumerate(urls)]
    file.write_text(json.dumps({"servers": rows}))
    return file


def settled(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def changes(router: Httpd) -> list[str]:
    return [each.path for each in router.asked if each.method == "POST"]


def test_what_is_missing_is_added_and_what_is_too_much_is_let_go(router: Httpd, tmp_path: Path) -> None:
    router.answers["/list_workers"] = (200, {"urls": [B]})

    Servers(router.url, name(tmp_path, A)).reconcile()

    settled(lambda: len(changes(router)) == 2)
    assert sorted(changes(router)) == [
        "/add_worker?url=https%3A%2F%2Fgpu-1%3A8443",
        "/remove_worker?url=https%3A%2F%2Fgpu-2%3A8443",
    ]


def test_one_that_is_down_is_tried_again_while_the_others_serve(router: Httpd, tmp_path: Path) -> None:
    router.answers["/add_worker"] = (400, b"Timeout 30s waiting for worker. Please set a larger value")
    servers = Servers(router.url, name(tmp_path, A))

    servers.reconcile()
    settled(lambda: len(changes(router)) == 1)

    def tried_again() -> bool:
        servers.reconcile()
        return len(changes(router)) == 2

    settled(tried_again)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"servers": [{"url": 1}]}', '{"servers": 3}'])
def test_a_list_that_cannot_be_read_changes_nothing(router: Httpd, tmp_path: Path, text: str) -> None:
    (tmp_path / "servers.json").write_text(text)
    router.answers["/list_workers"] = (200, {"urls": [A]})

    Servers(router.url, tmp_path / "servers.json").reconcile()
    Servers(router.url, tmp_path / "none").reconcile()

    assert router.asked == []


def test_a_router_that_does_not_answer_yet_is_no_error(tmp_path: Path) -> None:
    Servers("http://127.0.0.1:9", name(tmp_path, A)).reconcile()


def test_it_is_told_whom_to_trust_for_them_and_each_once(tmp_path: Path) -> None:
    file = name(tmp_path, A, B)
    (tmp_path / "pool-0.pem").write_text("PEM")
    assert wanted(file) == [Server(A, "pool-0.pem"), Server(B, "pool-1.pem")]
    assert authorities(file) == "PEM\n"

    (tmp_path / "pool-1.pem").write_text("PEM\n")
    (tmp_path / "pool-2.pem").write_text("of nobody who is named")
    assert authorities(file) == "PEM\n"


def test_an_authority_is_looked_for_beside_the_list_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "above.pem").write_text("PEM")
    place = tmp_path / "place"
    place.mkdir()
    rows: list[dict[str, Any]] = [{"url": A, "ca_file": "../above.pem"}]
    (place / "servers.json").write_text(json.dumps({"servers": rows}))

    assert authorities(place / "servers.json") == ""
