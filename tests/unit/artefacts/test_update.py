"""What config/artefacts.yaml becomes, and when it is left alone. The project's own file is the one that is changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.artefacts.update import ArtefactsError, Offer, Packages, Wheel, compiled, references, updated

TEXT = (Path(__file__).parents[3] / "config/artefacts.yaml").read_text(encoding="utf-8")
PINNED = yaml.safe_load(TEXT)
VERSION = PINNED["ollama"]["version"]
FILES = [entry["file"] for group in ("archives", "extras") for entry in PINNED["ollama"][group].values()]
SUMS = {file: f"ab{number:062x}" for number, file in enumerate(FILES, start=1)}
DIGEST = f"sha256:{'d' * 64}"
ROCM_DIGEST = f"sha256:{'c' * 64}"
OTHER = "9.9.9"


def read(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_a_new_version_brings_its_own_sums_names_and_digest() -> None:
    new = read(updated(TEXT, Offer(OTHER, SUMS, {"ollama": DIGEST, "ollama.rocm": ROCM_DIGEST})))

    assert new["ollama"]["version"] == OTHER
    found = {e["file"]: e["sha256"] for g in ("archives", "extras") for e in new["ollama"][g].values()}
    assert found == SUMS
    assert new["images"]["ollama"] == {
        "reference": f"docker.io/ollama/ollama:{OTHER}",
        "digest": DIGEST,
        "variants": {"rocm": ROCM_DIGEST},
    }


def test_everything_else_of_the_file_stays_as_people_wrote_it() -> None:
    new = updated(TEXT, Offer(OTHER, SUMS))

    assert [line for line in new.splitlines() if line.lstrip().startswith("#")] == [
        line for line in TEXT.splitlines() if line.lstrip().startswith("#")
    ]
    assert {key: value for key, value in read(new).items() if key not in ("ollama", "images")} == {
        key: value for key, value in PINNED.items() if key not in ("ollama", "images")
    }


def test_the_projects_own_file_is_sorted() -> None:
    assert updated(TEXT, Offer(VERSION, {}), partial=True) == TEXT


def test_a_new_release_leaves_what_is_compiled_alone() -> None:
    new = read(updated(TEXT, Offer(OTHER, SUMS)))

    assert new["ollama"]["packages"] == PINNED["ollama"]["packages"]


def test_another_compiled_version_brings_its_wheel_and_leaves_the_release_alone() -> None:
    wheel = Wheel("2027.1.12340", {"x86_64": "a" * 64, "aarch64": "b" * 64})

    new = read(compiled(TEXT, Packages(OTHER, "b12345", wheel)))

    assert new["ollama"].pop("packages") == {"version": OTHER, "llama_cpp": "b12345"}
    assert new["ollama"] == {key: value for key, value in PINNED["ollama"].items() if key != "packages"}
    assert new["images"] == PINNED["images"]
    found = new["wheels"]["xllamacpp"]
    assert (found["version"], found["sha256"]) == (wheel.version, wheel.sha256)


def test_the_releases_llama_cpp_is_told_where_both_have_one_version() -> None:
    wheel = Wheel("2027.1.12340", {"x86_64": "a" * 64, "aarch64": "b" * 64})

    assert read(compiled(TEXT, Packages(VERSION, "b12345", wheel)))["ollama"]["llama_cpp"] == "b12345"


def test_a_copy_that_has_one_version_for_both_is_told_what_to_take_over() -> None:
    before, _, rest = TEXT.partition("  packages:\n")
    copy = before + rest.partition("llama_cpp: b11081\n")[2]

    with pytest.raises(ArtefactsError, match="take it over from the project's"):
        compiled(copy, Packages(OTHER, "b12345", Wheel("2027.1.12340", {})))


@pytest.fixture
def complete() -> str:
    """The file with every digest of Ollama's images recorded."""
    images = {"ollama": DIGEST, "ollama.rocm": ROCM_DIGEST}
    return updated(TEXT, Offer(VERSION, {}, images), partial=True, replace=True)


def test_digests_of_the_old_version_do_not_stay_with_the_new_one(complete: str) -> None:
    new = read(updated(complete, Offer(OTHER, SUMS)))["images"]["ollama"]

    assert (new["digest"], new["variants"]) == (None, {"rocm": None})


def test_a_new_digest_of_one_image_does_not_keep_the_old_one_of_its_variant(complete: str) -> None:
    new = read(updated(complete, Offer(OTHER, SUMS, {"ollama": f"sha256:{'e' * 64}"})))["images"]["ollama"]

    assert new["variants"] == {"rocm": None}


def test_digests_stay_with_their_version(complete: str) -> None:
    assert updated(complete, Offer(VERSION, {}), partial=True) == complete


def test_a_registry_is_asked_for_every_image_of_the_new_version() -> None:
    assert references(PINNED, OTHER) == {
        "ollama": f"docker.io/ollama/ollama:{OTHER}",
        "ollama.rocm": f"docker.io/ollama/ollama:{OTHER}-rocm",
        **{name: PINNED["images"][name]["reference"] for name in ("debian", "ubuntu", "vllm")},
    }


def test_a_source_that_lacks_an_archive_is_refused_and_every_name_is_told() -> None:
    with pytest.raises(ArtefactsError) as caught:
        updated(TEXT, Offer(OTHER, dict(list(SUMS.items())[2:])))

    assert all(file in str(caught.value) for file in FILES[:2])
    assert FILES[2] not in str(caught.value)


def test_what_a_partial_source_lacks_is_not_known_for_a_new_version_and_kept_for_the_same() -> None:
    file = PINNED["ollama"]["archives"]["x86_64"]["file"]
    new = read(updated(TEXT, Offer(OTHER, {file: SUMS[file]}), partial=True))["ollama"]["archives"]
    same = read(updated(TEXT, Offer(VERSION, {}), partial=True))["ollama"]["archives"]

    assert (new["x86_64"]["sha256"], new["aarch64"]["sha256"]) == (SUMS[file], None)
    assert same == PINNED["ollama"]["archives"]


def test_another_sum_for_the_same_version_needs_to_be_wanted() -> None:
    with pytest.raises(ArtefactsError, match="--replace"):
        updated(TEXT, Offer(VERSION, SUMS))

    new = read(updated(TEXT, Offer(VERSION, SUMS), replace=True))
    assert new["ollama"]["archives"]["x86_64"]["sha256"] == SUMS[PINNED["ollama"]["archives"]["x86_64"]["file"]]


@pytest.mark.parametrize("image", ["ollama", "ollama.rocm"])
def test_another_digest_for_the_same_version_needs_to_be_wanted(complete: str, image: str) -> None:
    with pytest.raises(ArtefactsError, match=rf"images\.{re.escape(image)}: docker\.io"):
        updated(complete, Offer(VERSION, {}, {image: f"sha256:{'e' * 64}"}), partial=True)


@pytest.mark.parametrize("version", ["v0.32.15", "latest", "0.32", "0.32.15; rm", ""])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ArtefactsError, match="no version"):
        updated(TEXT, Offer(version, SUMS))


@pytest.mark.parametrize("images", [{"ollama": "sha256:abc"}, {"unknown": DIGEST}, {"ollama.cuda": DIGEST}])
def test_what_is_no_digest_of_an_image_in_the_file_is_refused(images: dict[str, str]) -> None:
    with pytest.raises(ArtefactsError, match="digest"):
        updated(TEXT, Offer(OTHER, SUMS, images))
