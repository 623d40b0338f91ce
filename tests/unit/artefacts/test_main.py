"""The command: from a mirror and a registry to the file, or nothing at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gridtie.artefacts import ArtefactsError, image_digest
from gridtie.artefacts.__main__ import main
from standins.httpd import Httpd, serving

SOURCE = Path(__file__).parents[3] / "config/artefacts.yaml"
FILE = "ollama-linux-amd64.tar.zst"
PINNED_VLLM = str(yaml.safe_load(SOURCE.read_text(encoding="utf-8"))["images"]["vllm"]["reference"])


@pytest.fixture
def httpd() -> Iterator[Httpd]:
    with serving() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    copy = tmp_path / "artefacts.yaml"
    copy.write_text(SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
    return copy


def offer(httpd: Httpd, version: str, text: str) -> None:
    httpd.answers[f"/ollama/v{version}/sha256sum.txt"] = (200, text.encode())


def run(httpd: Httpd, file: Path, version: str, *more: str) -> int:
    return main([version, "--from", httpd.url, "--no-module", "--file", str(file), *more])


def test_a_mirrors_sums_are_written(httpd: Httpd, file: Path) -> None:
    offer(httpd, "9.9.9", f"{'a' * 64}  ./{FILE}\n")

    assert run(httpd, file, "9.9.9", "--partial", "--no-images") == 0

    written = yaml.safe_load(file.read_text())["ollama"]
    assert (written["version"], written["archives"]["x86_64"]["sha256"]) == ("9.9.9", "a" * 64)
    assert [path.name for path in file.parent.iterdir()] == ["artefacts.yaml"]


def test_a_former_option_is_told_by_todays_name(httpd: Httpd, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offer(httpd, "9.9.9", f"{'a' * 64}  ./{FILE}\n")

    assert run(httpd, file, "9.9.9", "--partial", "--no-images") == 0

    assert "--no-module is called --only release since 1.1.0; both work" in capsys.readouterr().err


def test_a_second_run_says_that_nothing_changed(httpd: Httpd, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offer(httpd, "9.9.9", f"{'a' * 64}  ./{FILE}\n")
    run(httpd, file, "9.9.9", "--partial", "--no-images")
    before = file.stat().st_ino

    assert run(httpd, file, "9.9.9", "--partial", "--no-images") == 0
    assert "unchanged" in capsys.readouterr().out
    assert file.stat().st_ino == before


@pytest.mark.parametrize("text", ["<html>not found</html>\n", f"{'a' * 40}  ./{FILE}\n", ""])
def test_a_list_that_is_no_list_changes_nothing(
    httpd: Httpd, file: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(httpd, "9.9.9", text)

    assert run(httpd, file, "9.9.9", "--partial", "--no-images") == 1
    assert file.read_text() == SOURCE.read_text()
    assert "sha256sum.txt" in capsys.readouterr().err


def test_a_version_that_the_mirror_does_not_have_changes_nothing(httpd: Httpd, file: Path) -> None:
    assert run(httpd, file, "9.9.9", "--partial", "--no-images") == 1
    assert file.read_text() == SOURCE.read_text()


def test_digests_of_images_are_those_of_the_bytes_that_a_registry_sent(httpd: Httpd, file: Path) -> None:
    offer(httpd, "9.9.9", f"{'a' * 64}  ./{FILE}\n")
    vllm = PINNED_VLLM.partition("/")[2]
    tags = (
        "ollama/ollama:9.9.9",
        "ollama/ollama:9.9.9-rocm",
        "library/debian:trixie-slim",
        "library/ubuntu:noble",
        vllm,
    )
    digests = {}
    for name, _, tag in (each.partition(":") for each in tags):
        content = f'{{"of": "{name}:{tag}"}}'.encode()
        httpd.answers[f"/v2/{name}/manifests/{tag}"] = (200, content)
        digests[f"{name}:{tag}"] = f"sha256:{hashlib.sha256(content).hexdigest()}"

    assert run(httpd, file, "9.9.9", "--partial", "--registry", httpd.url) == 0

    images = yaml.safe_load(file.read_text())["images"]
    assert images["ollama"]["digest"] == digests["ollama/ollama:9.9.9"]
    assert images["ollama"]["variants"] == {"rocm": digests["ollama/ollama:9.9.9-rocm"]}
    assert images["ubuntu"]["digest"] == digests["library/ubuntu:noble"]
    assert images["vllm"]["digest"] == digests[vllm]


def test_a_registry_that_tells_another_digest_than_it_sends_is_refused(httpd: Httpd) -> None:
    headers = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}
    httpd.answers["/v2/ollama/ollama/manifests/1"] = (200, b"{}", headers)

    with pytest.raises(ArtefactsError, match="tells the digest"):
        image_digest("docker.io/ollama/ollama:1", httpd.url)


def test_a_registry_that_wants_a_token_for_everybody_gets_one(httpd: Httpd) -> None:
    realm = f'Bearer realm="{httpd.url}/token",service="registry",scope="repository:ollama/ollama:pull"'
    httpd.answers["/v2/ollama/ollama/manifests/1"] = (401, b"{}", {"WWW-Authenticate": realm})
    httpd.answers["/token"] = (200, {"token": "for-everybody"})

    with pytest.raises(ArtefactsError, match="401"):
        image_digest("docker.io/ollama/ollama:1", httpd.url)

    assert [asked.path for asked in httpd.asked] == [
        "/v2/ollama/ollama/manifests/1",
        "/token?service=registry&scope=repository%3Aollama%2Follama%3Apull",
        "/v2/ollama/ollama/manifests/1",
    ]
    assert httpd.asked[-1].headers["authorization"] == "Bearer for-everybody"
