"""The process that serves a model file is found by the file's digest, under whichever directory a container has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.host.acceptance.memory import MIB, PROMPT_CACHE
from gridtie.host.acceptance.processes import Process, serving

FILE = "ollama/blobs/sha256-abc"


def process(proc: Path, number: int, command: str, environment: str = "", resident: int = 100) -> None:
    directory = proc / str(number)
    directory.mkdir()
    (directory / "cmdline").write_text(command.replace(" ", "\0") + "\0")
    (directory / "environ").write_text(environment)
    (directory / "status").write_text(f"Name:\tserver\nVmRSS:\t{resident * 1024} kB\n")


def test_it_is_the_one_that_was_started_with_the_file(tmp_path: Path) -> None:
    process(tmp_path, 1, "init")
    process(tmp_path, 2, "llama-server --model /models/blobs/sha256-abc -c 8192", "A=b\0LLAMA_ARG_CACHE_RAM=256\0")
    process(tmp_path, 3, "llama-server --model /models/blobs/sha256-def")

    assert serving(FILE, tmp_path) == Process(100 * MIB, 256 * MIB)


@pytest.mark.parametrize("said", ["", "LLAMA_ARG_CACHE_RAM=-1\0", "LLAMA_ARG_CACHE_RAM=\0"])
def test_a_server_that_was_told_nothing_keeps_llama_cpps_own_default(tmp_path: Path, said: str) -> None:
    process(tmp_path, 2, "llama-server --model /x/sha256-abc", said)
    found = serving(FILE, tmp_path)

    assert found is not None and found.prompt_cache == PROMPT_CACHE


def test_of_two_with_the_same_file_nobody_can_tell_which_is_meant(tmp_path: Path) -> None:
    for number in (2, 3):
        process(tmp_path, number, "llama-server --model /x/sha256-abc")

    assert serving(FILE, tmp_path) is None


def test_a_model_without_a_file_and_a_process_that_has_ended_are_none(tmp_path: Path) -> None:
    (tmp_path / "4").mkdir()

    assert serving("", tmp_path) is None and serving(FILE, tmp_path) is None
