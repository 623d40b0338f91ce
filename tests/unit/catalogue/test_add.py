"""A model of the library becomes an entry of the catalogue by its header alone, which is all that is asked for."""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.catalogue import load
from gridtie.host.fit.memory import Settings, need, need_of_file
from gridtie.host.models.gguf_file import read_header
from standins import header_gguf
from standins.model_registry import Registry, serving

ROOT = Path(__file__).parents[3]
SMALL = {
    "block_count": 8,
    "context_length": 65536,
    "embedding_length": 64,
    "feed_forward_length": 128,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 32,
    "attention.value_length": 32,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "vocab_size": 256,
    "general.license": "apache-2.0",
    "general.name": "Tiny Hybrid",
    "tokenizer.chat_template": "{{ tools }}",
    "tokenizer.ggml.fim_pre_token_id": 3,
}
HYBRID = {
    **SMALL,
    "full_attention_interval": 4,
    "rope.dimension_sections": [4, 4, 4, 0],
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 128,
    "ssm.state_size": 32,
    "ssm.time_step_rank": 4,
    "ssm.group_count": 2,
}
SLIDING = {
    **SMALL,
    "attention.head_count_kv": [2, 2, 2, 1] * 2,
    "attention.key_length_swa": 16,
    "attention.value_length_swa": 16,
    "attention.sliding_window": 512,
    "attention.sliding_window_pattern": [True, True, True, False] * 2,
    "attention.shared_kv_layers": 0,
    "embedding_length_per_layer_input": 0,
    "final_logit_softcapping": 30.0,
}
EXPERTS = {
    **SMALL,
    "expert_count": 8,
    "expert_used_count": 2,
    "expert_feed_forward_length": 64,
    "general.license": "tiny-community",
}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as found:
        yield found


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text((ROOT / "config" / "models.yaml").read_text())
    return path


def publish(registry: Registry, folder: Path, name: str, architecture: str, keys: dict[str, Any]) -> Path:
    """The model in the registry; the file that it was made of. Behind the header lies more than is ever asked for."""
    path = folder / f"{name.replace(':', '-')}.gguf"
    header_gguf.write(path, architecture, keys)
    registry.add_model(name, path.read_bytes() + bytes(12 << 20))
    return path


def run(registry: Registry, catalogue: Path, *words: str) -> subprocess.CompletedProcess[str]:
    options = ["--registry", registry.url, "--catalogue", str(catalogue)]
    return subprocess.run(
        [sys.executable, "-m", "gridtie.catalogue", *options, *words],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip


def added(catalogue: Path) -> list[str]:
    """The lines by which it differs from the project's; a line that is gone begins with `-`."""
    before, after = (path.read_text().splitlines() for path in (ROOT / "config" / "models.yaml", catalogue))
    found = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    return [line for line in found if not line.startswith("@@")]


@pytest.mark.parametrize(
    ("architecture", "keys"), [("qwen35", HYBRID), ("gemma4", SLIDING), ("qwen3moe", EXPERTS), ("llama", SMALL)]
)
def test_one_command_writes_an_entry_that_needs_what_the_file_needs(
    registry: Registry, catalogue: Path, tmp_path: Path, architecture: str, keys: dict[str, Any]
) -> None:
    file = publish(registry, tmp_path, "tiny:1m", architecture, keys)
    done = run(registry, catalogue, "add", "tiny:1m")
    header = read_header(file)

    assert done.returncode == 0, done.stderr
    model = load(catalogue).models["tiny:1m"]
    for settings in (Settings(8192), Settings(65536, 2), Settings(4096, 1, "f16", False, "embedded")):
        mine, its = need(model.shape, 0, settings), need_of_file(header, settings)
        assert (mine.kv, mine.state, mine.compute) == (its.kv, its.state, its.compute)
    assert (model.file.size, model.file.header, model.shape_source.kind) == ("exact", header.size, "header")
    assert all(line.startswith("+") for line in added(catalogue)), "one addition, and nothing else"


def test_only_the_beginning_of_the_file_is_asked_for(registry: Registry, catalogue: Path, tmp_path: Path) -> None:
    publish(registry, tmp_path, "tiny:1m", "llama", SMALL)
    run(registry, catalogue, "add", "tiny:1m")
    asked = [header for path, header in registry.requests if "/blobs/" in path]

    assert asked == [f"bytes=0-{(8 << 20) - 1}"]


def test_what_the_header_shows_is_filled_in_and_the_rest_is_named(
    registry: Registry, catalogue: Path, tmp_path: Path
) -> None:
    publish(registry, tmp_path, "tiny:1m", "qwen3moe", EXPERTS)
    done = run(registry, catalogue, "add", "tiny:1m", "--after", "llama3:8b")
    model = load(catalogue).models["tiny:1m"]

    assert (model.title, model.license.id, model.license.commercial) == ("Tiny Hybrid", "tiny-community", False)
    assert model.capabilities == ("chat", "json", "tools", "fill-in-the-middle")
    assert 0 < model.active_parameters < model.parameters
    assert "whether the licence (tiny-community) allows commercial use" in done.stderr
    assert "scores with source and date" in done.stderr
    names = list(load(catalogue).models)
    assert names[names.index("llama3:8b") + 1] == "tiny:1m"


def test_a_known_licence_needs_no_person(registry: Registry, catalogue: Path, tmp_path: Path) -> None:
    publish(registry, tmp_path, "tiny:1m", "llama", SMALL)
    done = run(registry, catalogue, "add", "tiny:1m")

    assert load(catalogue).models["tiny:1m"].license.commercial
    assert "licence" not in done.stderr


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("none:1b", 1, "none:1b: .*HTTP 404"),
        ("llama3:8b", 2, "the catalogue has llama3:8b already"),
        ("../x", 2, "not of the form model:tag"),
        ("mine:1b-cloud", 2, "ends in `cloud`"),
        ("odd:1m", 1, "odd:1m: .*the memory of the architecture 'shiny-new' cannot be predicted|odd:1m: .*GGUF"),
    ],
)
def test_what_cannot_be_added_is_told_and_changes_nothing(
    registry: Registry, catalogue: Path, name: str, status: int, says: str
) -> None:
    registry.add_model("odd:1m", b"no model at all" * 100)
    done = run(registry, catalogue, "add", name)

    assert done.returncode == status
    assert re.search(says, done.stderr), done.stderr
    assert added(catalogue) == []


def test_shapes_are_read_anew_where_the_registry_answers(registry: Registry, catalogue: Path, tmp_path: Path) -> None:
    publish(registry, tmp_path, "llama3:8b", "llama", SMALL)
    done = run(registry, catalogue, "refresh", "llama3:8b", "codellama:7b")
    models = load(catalogue).models

    assert done.returncode == 1
    assert "llama3:8b: read from its header" in done.stderr and "codellama:7b: " in done.stderr
    assert models["llama3:8b"].shape.block_count == 8 and models["llama3:8b"].file.size == "exact"
    assert models["llama3:8b"].scores == load(ROOT / "config" / "models.yaml").models["llama3:8b"].scores
    assert models["codellama:7b"] == load(ROOT / "config" / "models.yaml").models["codellama:7b"]
    again = catalogue.read_text()
    run(registry, catalogue, "refresh", "llama3:8b")
    assert catalogue.read_text() == again, "what says the same already is left alone, also its date"


def test_a_registry_that_ignores_ranges_will_do(registry: Registry, catalogue: Path, tmp_path: Path) -> None:
    registry.ignores_ranges = True
    publish(registry, tmp_path, "tiny:1m", "llama", SMALL)

    assert run(registry, catalogue, "add", "tiny:1m").returncode == 0
