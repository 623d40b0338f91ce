"""An image that the station pulls is noted as its own, unless somebody had it before."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugins.module_utils.gridtie_images import Images

DIGEST = "sha256:" + "ab" * 32
# `before`: whether the name is known before the pull; `names`: tags and digests of the image after it.
DOCKER = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
  *"{{{{.Id}}}}"*) [ {before} = yes ] || {{ echo "Error: No such image" >&2; exit 1; }} ;;
  *"{{{{len"*) echo "{names}" ;;
  *"{{{{json .RepoDigests}}}}"*) echo '["ollama/ollama@{digest}"]' ;;
esac
exit 0
"""


@pytest.mark.parametrize(
    ("digest", "before", "names", "noted"),
    [
        (DIGEST, "no", "0 1", True),
        (None, "no", "1 1", True),
        (DIGEST, "yes", "0 1", False),
        # The same image had another name.
        (DIGEST, "no", "1 1", False),
        (DIGEST, "no", "0 2", False),
    ],
)
def test_what_was_pulled_gets_a_name_of_ours(
    tmp_path: Path, digest: str | None, before: str, names: str, noted: bool
) -> None:
    log, docker = tmp_path / "log", tmp_path / "docker"
    docker.write_text(DOCKER.format(log=log, before=before, names=names, digest=DIGEST))
    docker.chmod(0o755)
    images = Images({"cli": str(docker), "host": "unix:///nowhere"}, "", {})

    named = images.pull("docker.io/ollama/ollama:0.34", digest, [])

    assert named == f"docker.io/ollama/ollama@{DIGEST}"
    said = [line for line in log.read_text().splitlines() if line.startswith("image tag")]
    assert said == ([f"image tag {named} gridtie/pulled:{'ab' * 6}"] if noted else [])
