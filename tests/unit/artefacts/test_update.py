"""What config/artefacts.yaml becomes, and when it is left alone. The project's own file is the one that is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.artefacts.update import ArtefactsError, Offer, updated

TEXT = (Path(__file__).parents[3] / "config/artefacts.yaml").read_text(encoding="utf-8")
PINNED = yaml.safe_load(TEXT)
VERSION = PINNED["ollama"]["version"]
FILES = [entry["file"] for group in ("archives", "extras") for entry in PINNED["ollama"][group].values()]
SUMS = {file: f"ab{number:062x}" for number, file in enumerate(FILES, start=1)}
DIGEST = f"sha256:{'d' * 64}"
OTHER = "9.9.9"


def read(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_a_new_version_brings_its_own_sums_names_and_digest() -> None:
    new = read(updated(TEXT, Offer(OTHER, SUMS, {"ollama": DIGEST}, "b12345")))

    assert new["ollama"]["version"] == OTHER
    assert new["ollama"]["llama_cpp"] == "b12345"
    found = {e["file"]: e["sha256"] for g in ("archives", "extras") for e in new["ollama"][g].values()}
    assert found == SUMS
    assert new["images"]["ollama"] == {"reference": f"docker.io/ollama/ollama:{OTHER}", "digest": DIGEST}


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


def test_a_digest_of_the_old_version_does_not_stay_with_the_new_one() -> None:
    new = read(updated(TEXT, Offer(OTHER, SUMS)))

    assert new["images"]["ollama"]["digest"] is None


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


def test_another_digest_for_the_same_version_needs_to_be_wanted() -> None:
    recorded = updated(TEXT, Offer(VERSION, {}, {"ollama": DIGEST}), partial=True, replace=True)

    with pytest.raises(ArtefactsError, match=r"images\.ollama"):
        updated(recorded, Offer(VERSION, {}, {"ollama": f"sha256:{'e' * 64}"}), partial=True)


@pytest.mark.parametrize("version", ["v0.32.15", "latest", "0.32", "0.32.15; rm", ""])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ArtefactsError, match="no version"):
        updated(TEXT, Offer(version, SUMS))


@pytest.mark.parametrize("images", [{"ollama": "sha256:abc"}, {"unknown": DIGEST}])
def test_what_is_no_digest_of_an_image_in_the_file_is_refused(images: dict[str, str]) -> None:
    with pytest.raises(ArtefactsError, match="digest"):
        updated(TEXT, Offer(OTHER, SUMS, images))
