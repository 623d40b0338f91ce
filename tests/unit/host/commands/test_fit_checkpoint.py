"""`gridtie fit` for safetensors: from a directory and from the Hub, on cards and on the processor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.host import cli
from gridtie.host.fit.memory import MIB
from gridtie.host.machine import detect
from standins import checkpoints
from standins.checkpoints import SMOLLM2
from standins.model_hub import Hub, serving

HARDWARE = Path(__file__).parents[3] / "fixtures" / "hardware"
CARD, TWO_CARDS = str(HARDWARE / "nvidia-8gb.json"), str(HARDWARE / "nvidia-2x24gb.json")
LARGE = {
    **SMOLLM2,
    "hidden_size": 5120,
    "intermediate_size": 25600,
    "num_hidden_layers": 64,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "architectures": ["Qwen3ForCausalLM"],
    "max_position_embeddings": 40960,
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = checkpoints.write(
        tmp_path_factory.mktemp("checkpoint") / "small", SMOLLM2, checkpoints.llama_tensors(SMOLLM2)
    )
    (path / "chat_template.jinja").write_text("{% if tools %}<tool_call>{% endif %}")
    return path


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[Hub]:
    with serving() as found:
        for file in folder.iterdir():
            found.upload("lab/small", file.name, file)
        yield found


@pytest.fixture
def fit(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setattr(detect, "_measure", lambda cpus, memory: 1e10)
    hub.sent = 0

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["fit", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def document(fit: Run, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(fit("--json", *arguments)[1]))


@pytest.mark.parametrize("typed", ["DIRECTORY", "hf.co/lab/small"])
def test_a_checkpoint_is_told_by_its_header_alone(fit: Run, hub: Hub, folder: Path, typed: str) -> None:
    name = str(folder) if typed == "DIRECTORY" else typed
    found = document(fit, name, "--engine", "vllm", "--machine", CARD)

    weights = checkpoints.size_of(checkpoints.llama_tensors(SMOLLM2))
    assert found["need"]["weights"] == weights
    assert found["need"]["cache"] == 30 * 3 * 128 * 2 * 8192
    assert (found["usable"], found["cards"], found["tool_parser"], found["context"]) == (True, 1, "hermes", 8192)
    assert hub.sent < MIB


def test_a_directory_is_vllms_whatever_the_engine(fit: Run, folder: Path) -> None:
    code, said, _ = fit(str(folder), "--machine", CARD)

    assert code == 0
    assert "LlamaForCausalLM, 30 layers" in said
    assert "chat, tools" in said
    assert "--max-model-len 8192 --gpu-memory-utilization 0.92" in said
    assert "--enable-auto-tool-choice --tool-call-parser hermes" in said


def test_a_directory_that_only_has_the_name_of_a_model_is_not_taken_for_one(
    fit: Run, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "qwen3:4b").mkdir()
    monkeypatch.chdir(tmp_path)

    assert "the library" in fit("qwen3:4b", "--registry", hub.url)[2]


def test_a_large_model_takes_as_few_cards_as_hold_it(fit: Run, tmp_path: Path) -> None:
    files = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    large = checkpoints.write_index(tmp_path / "large", LARGE, 33_000_000_000, files)

    code, said, _ = fit(str(large), "--machine", TWO_CARDS, "--context", "16384")

    assert code == 0
    assert "split over 2 cards" in said
    assert "--tensor-parallel-size 2" in said

    code, said, _ = fit(str(large), "--machine", TWO_CARDS, "--tensor-parallel", "1")

    assert code == 1
    assert "verdict      does not fit" in said


def test_without_a_card_the_processor_s_memory_holds_the_cache(fit: Run, folder: Path) -> None:
    found = document(fit, str(folder), "--device", "memory", "--free", "6")

    assert found["cards"] == 0
    assert found["on"][0]["name"] == "memory"
    assert found["need"]["total"] + found["cache"]["bytes"] - found["need"]["cache"] == 6 << 30
    assert "--gpu-memory-utilization" not in found["vllm_arguments"]


def test_a_smaller_share_leaves_less_cache(fit: Run, folder: Path) -> None:
    whole = document(fit, str(folder), "--machine", CARD)
    half = document(fit, str(folder), "--machine", CARD, "--gpu-memory-utilization", "0.5")

    assert half["cache"]["bytes"] < whole["cache"]["bytes"]
    assert half["share"]["fraction"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tensor-parallel", "2", "--machine", TWO_CARDS), "9 heads and 3 of keys and values cannot be split over 2"),
        (("--tensor-parallel", "3", "--machine", TWO_CARDS), "--tensor-parallel is 3, and there are 2 cards"),
        (("--tensor-parallel", "2", "--device", "memory"), "--tensor-parallel is about graphics cards"),
        (("--kv", "q8_0", "--machine", CARD), "vLLM's cache is f16 or fp8, and not q8_0"),
    ],
)
def test_what_vllm_cannot_be_asked_is_said(fit: Run, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = fit(str(folder), *arguments)

    assert code == 2
    assert said in err


def test_a_checkpoint_that_is_not_whole_is_named(fit: Run, folder: Path, tmp_path: Path) -> None:
    index = checkpoints.write_index(tmp_path / "half", SMOLLM2, 1000, {"a": "one.safetensors", "b": "two.safetensors"})
    (index / "two.safetensors").unlink()
    cut = checkpoints.write(tmp_path / "cut", SMOLLM2, checkpoints.llama_tensors(SMOLLM2))
    with (cut / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)
    (tmp_path / "empty").mkdir()

    assert "two.safetensors of its index is not there" in fit(str(index))[2]
    assert "it is cut: 100000 bytes are there" in fit(str(cut))[2]
    assert "has no config.json" in fit(str(tmp_path / "empty"))[2]


def test_an_unknown_architecture_is_said_to_be_unknown(fit: Run, tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path / "odd", {**SMOLLM2, "architectures": ["OddForCausalLM"]}, {"a": (1,)})

    code, _, err = fit(str(path))

    assert code == 2
    assert "nothing is known of the cache of 'OddForCausalLM'" in err


def test_the_other_engines_are_told_that_vllm_takes_it(fit: Run) -> None:
    code, _, err = fit("hf.co/lab/small", "--engine", "ollama")

    assert code == 2
    assert "safetensors, which vLLM takes (--engine vllm)" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the models of the catalogue are GGUF files"),
        (("qwen3:4b",), "qwen3:4b is no checkpoint that vLLM takes; wanted: a directory"),
        (("hf.co/lab/none",), "Hugging Face has no lab/none"),
    ],
)
def test_names_that_vllm_has_nothing_for_are_refused(fit: Run, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = fit("--engine", "vllm", *arguments)

    assert code == 2
    assert said in err
