"""What the engine says of a model before it is there: the launcher is a stand-in that writes what the real one did."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gridtie.host.fit.header import Header, Tensor
from gridtie.host.fit.memory import MIB, Need, Settings
from gridtie.host.models.dry_run import CannotLoad, NoAnswer, disagreement, dry_run, write_header_only
from gridtie.host.models.gguf_file import check_length, read_header
from standins import fit_shapes, header_gguf

# Lines of llama.cpp b10566 for Gemma 3 270M at 8192 tokens.
SAID = """\
0.00.017 I llama_context:        CPU  output buffer size =     1.00 MiB
0.00.017 I llama_kv_cache: size =   24.00 MiB (  8192 cells,   3 layers,  1/1 seqs), K (f16):   12.00 MiB
0.00.017 I llama_kv_cache: size =   15.00 MiB (  1024 cells,  15 layers,  1/1 seqs), K (f16):    7.50 MiB
0.00.023 I sched_reserve:        CPU compute buffer size =    26.77 MiB
0.00.028 I common_memory_breakdown_print: | memory breakdown [MiB] | total   free    self   model   context |
0.00.028 I common_memory_breakdown_print: |   - Host               |                  155 =    90 +      39 +      26 |
0.00.028 I common_memory_breakdown_print: |   - CPU_REPACK         |                  143 =   143 +       0 +       0 |
0.00.030 I common_params_fit_impl: projected to use 155 MiB of host memory vs. 24105 MiB of total host memory
"""
CARD = """\
0.00.028 I common_memory_breakdown_print: |   - CUDA0 (RTX) | 8188 = 7000 + (1500 =  1000 +     300 +     200) + 88 |
0.00.030 I common_params_fit_impl: done
"""
UNKNOWN = "0.1 E llama_model_load: error loading model: unknown model architecture: 'shiny-new'\n"


@pytest.fixture
def launcher(tmp_path: Path) -> list[str]:
    """Writes `said.txt`, and then serves until it is ended; its process and its arguments are noted."""
    program = tmp_path / "server.py"
    program.write_text(
        "import os, pathlib, sys, time\n"
        "here = pathlib.Path(sys.argv[0]).parent\n"
        "(here / 'ran.txt').write_text(' '.join([str(os.getpid()), *sys.argv[1:]]))\n"
        "sys.stderr.write((here / 'said.txt').read_text())\n"
        "sys.stderr.flush()\n"
        "time.sleep(60 if 'ends' not in (here / 'said.txt').read_text() else 0)\n"
    )
    return [sys.executable, "-I", str(program)]


def test_the_engines_own_figures_are_read_and_its_server_is_ended(launcher: list[str], tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text(SAID)
    found = dry_run(launcher, "/m.gguf", Settings(8192, 2, "q8_0", engine="embedded"))

    assert found == Need(weights=233 * MIB, kv=39 * MIB, compute=round(27.77 * MIB))
    pid, *arguments = (tmp_path / "ran.txt").read_text().split()
    assert not Path(f"/proc/{pid}").exists()
    assert " ".join(arguments).startswith("--model /m.gguf --host 127.0.0.1 --port 0")
    assert "--ctx-size 16384 --parallel 2 --batch-size 512" in " ".join(arguments)


def test_what_lies_on_a_card_is_counted_as_well(launcher: list[str], tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text(CARD)

    assert dry_run(launcher, "/m.gguf", Settings(8192)).weights == 1000 * MIB


def test_a_model_that_this_engine_cannot_load_is_told_with_its_own_reason(launcher: list[str], tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text(UNKNOWN)

    with pytest.raises(CannotLoad, match="unknown model architecture: 'shiny-new'"):
        dry_run(launcher, "/m.gguf", Settings(8192))


def test_a_launcher_that_says_nothing_of_memory_is_quoted(launcher: list[str], tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text("usage: another program\nends\n")

    with pytest.raises(NoAnswer, match="usage: another program / ends"):
        dry_run(launcher, "/m.gguf", Settings(8192))


def test_a_launcher_that_never_speaks_is_ended_in_time(launcher: list[str], tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text("")
    begun = time.monotonic()

    with pytest.raises(NoAnswer, match="its last words: none"):
        dry_run(launcher, "/m.gguf", Settings(8192), timeout=1)
    assert time.monotonic() - begun < 20


def test_a_launcher_that_is_not_there_is_said() -> None:
    with pytest.raises(NoAnswer, match="/no/such/server cannot be run"):
        dry_run(["/no/such/server"], "/m.gguf", Settings(8192))


def header(architecture: str, tied: int = 0) -> Header:
    tensors = {"token_embd.weight": Tensor((tied // 4,), 0, 0)} if tied else {}
    return Header({"general.architecture": architecture}, tensors)


def test_more_than_two_percent_of_difference_names_the_rule_and_the_part() -> None:
    said = Need(weights=1000 * MIB, kv=500 * MIB, compute=100 * MIB)
    nearly = Need(weights=1000 * MIB, kv=520 * MIB, compute=100 * MIB)
    beyond = Need(weights=1000 * MIB, kv=600 * MIB, compute=110 * MIB)

    assert disagreement(nearly, said, header("gemma3")) == ""
    assert "the rule for 'gemma3' does not hold" in disagreement(beyond, said, header("gemma3"))
    assert "kv 600 and 500 MiB" in disagreement(beyond, said, header("gemma3"))


def test_a_tied_embedding_that_a_processor_holds_in_two_layouts_is_called_that() -> None:
    said = Need(weights=1300 * MIB, kv=500 * MIB, compute=100 * MIB)
    predicted = Need(weights=1000 * MIB, kv=500 * MIB, compute=100 * MIB)

    told = disagreement(predicted, said, header("gemma3", tied=300 * MIB))
    assert "a tied embedding counts once does not hold on this processor" in told
    assert "the rule for 'gemma3'" in disagreement(predicted, said, header("gemma3", tied=200 * MIB))


def test_a_projector_is_not_held_against_an_engine_that_does_not_count_it() -> None:
    said = Need(weights=1000 * MIB, kv=0, compute=0)

    assert disagreement(replace(said, projector=900 * MIB), said, header("gemma3")) == ""


def test_a_file_of_the_header_alone_has_the_length_of_the_whole(tmp_path: Path) -> None:
    wanted = next(each for each in fit_shapes.headers() if each.name == "qwen3-8b")
    whole, alone = tmp_path / "whole.gguf", tmp_path / "alone.gguf"
    header_gguf.write(whole, wanted.architecture, wanted.keys)
    found = read_header(whole)
    with whole.open("rb") as file:
        write_header_only(file.read(found.size + 1000), found, alone)

    assert read_header(alone) == found
    check_length(alone, found)
    assert alone.stat().st_blocks * 512 < 1 * MIB
