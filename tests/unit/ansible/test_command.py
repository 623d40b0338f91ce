"""Long-running programs: followed, bounded, and without credentials in what they leave."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from plugins.module_utils import gridtie_bootstrap, gridtie_images
from plugins.module_utils.gridtie_command import CommandError, follow, redact


def test_lines_are_told_as_they_come_and_returned_together() -> None:
    lines: list[str] = []

    output = follow(["sh", "-c", "echo a; echo b >&2"], what="it", limit_s=10, line=lines.append)

    assert output.splitlines() == lines == ["a", "b"]


def test_a_failure_carries_the_end_of_the_output_without_credentials() -> None:
    with pytest.raises(CommandError, match="it failed \\(exit status 7\\)") as caught:
        follow(["sh", "-c", "echo Looking in https://user:secret@index.example/simple; exit 7"], what="it", limit_s=10)

    assert caught.value.output == "Looking in https://***@index.example/simple"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'))", True),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", True),
        ("Certificate verification failed: The certificate is NOT trusted.", True),
        ("No matching distribution found for xllamacpp", False),
    ],
)
def test_where_an_authority_is_not_trusted_the_setting_that_names_it_is_told(output: str, told: bool) -> None:
    with pytest.raises(CommandError) as caught:
        follow(["sh", "-c", f'echo "{output}"; exit 1'], what="building the image", limit_s=10)

    assert ("gridtie_ca_bundle" in str(caught.value)) is told


def test_a_program_that_takes_too_long_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"

    with pytest.raises(CommandError, match="did not end within 1 s"):
        follow(["sh", "-c", script], what="it", limit_s=1)

    time.sleep(0.2)
    status = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://a:b@host/x http://t@h", "https://***@host/x http://***@h"),
        ("https://host/path@1.2", "https://host/path@1.2"),
    ],
)
def test_only_credentials_are_taken_out(text: str, wanted: str) -> None:
    assert redact(text) == wanted


def test_the_lock_of_an_image_lasts_as_long_as_the_work_that_a_killed_run_left(tmp_path: Path) -> None:
    with gridtie_bootstrap.alone("base", tmp_path) as lock:
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", "import time; time.sleep(1.5)"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, lock[0], 99)],
        )
    started = time.monotonic()

    with gridtie_bootstrap.alone("base", tmp_path):
        waited = time.monotonic() - started
    os.waitpid(child, 0)

    assert waited > 0.9


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("dial tcp: lookup registry.example: no such host", True),
        ("net/http: request canceled while waiting for connection (Client.Timeout exceeded)", True),
        ("manifest unknown: manifest unknown", False),
        ("toomanyrequests: rate limit", False),
        ("received unexpected HTTP status: 502 Bad Gateway", False),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", False),
    ],
)
def test_only_a_connection_that_was_not_made_is_a_reason_for_another_source(output: str, answer: bool) -> None:
    assert gridtie_images.not_reached(output) is answer
