"""Routing files for clusters that people have, each in a real router and in front of a stand-in below the same path."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from standins.router import Answered, Station, chat, run
from standins.scripted import Turn, Upstream, stream, whole

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config/clusters").glob("*.yaml"))
PATHS = {"gpustack": "/v1", "kserve": "/openai/v1", "llm-d": "/v1", "production-stack": "/v1", "ray-serve": "/v1"}
each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def here(file: Path, url: str) -> str:
    """The file with the cluster at the stand-in's address, its path kept."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    cluster = document["providers"]["cluster"]
    cluster["base_url"] = url.removesuffix("/v1") + urlsplit(cluster["base_url"]).path
    return yaml.safe_dump(document, sort_keys=False)


def ask(
    directory: Path, file: Path, *, streamed: bool = False, headers: dict[str, str] | None = None
) -> tuple[Answered, Turn]:
    """The answer to a request for `coder`, and what the cluster was asked."""

    async def work() -> tuple[Answered, Turn]:
        async with Upstream(stream("hel", "lo") if streamed else whole()) as cluster:
            router = Station(directory, here(file, cluster.url))
            (router.config / "secrets").mkdir()
            (router.config / "secrets/cluster").write_text("the-cluster-s-key\n")
            async with router:
                answered = await router.ask(chat(stream=streamed), headers=headers)
                return answered, await cluster.turn()

    return run(work)


@each
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_the_cluster_is_asked_below_its_own_path_for_its_own_model(tmp_path: Path, file: Path, streamed: bool) -> None:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    provider, _, model = document["models"]["coder"]["local"][0].partition("/")

    answered, turn = ask(tmp_path, file, streamed=streamed)

    assert (answered.status, answered.text if streamed else answered.json["choices"][0]["message"]["content"]) == (
        200, "hello",
    )  # fmt: skip
    assert turn.line == f"POST {PATHS[file.stem]}/chat/completions HTTP/1.1"
    assert (provider, turn.json["model"]) == ("cluster", model)


@each
def test_it_gets_its_own_key_where_the_file_has_one_and_never_the_client_s(tmp_path: Path, file: Path) -> None:
    _, turn = ask(tmp_path, file)

    wanted = "Bearer the-cluster-s-key" if file.stem == "gpustack" else None
    assert turn.headers.get("authorization") == wanted


@each
def test_it_counts_as_one_s_own_for_what_is_private(tmp_path: Path, file: Path) -> None:
    answered, turn = ask(tmp_path, file, headers={"x-gridtie-tags": "private"})

    assert answered.status == 200 and turn.json["model"]


def test_the_page_has_every_file_and_claims_of_none_that_its_platform_was_run() -> None:
    rows = (ROOT / "docs/your-cluster.md").read_text(encoding="utf-8").splitlines()
    listed = [row.split("`")[1] for row in rows if row.startswith("|") and ".yaml`" in row]

    assert sorted(listed) == [file.name for file in FILES]
    assert sum(row.endswith("| tested with a stand-in | untested |") for row in rows) == len(FILES)
