"""What an inventory says of vLLM's model becomes arguments and a line of station.json, or is refused by its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.host.fit.checkpoint import Checkpoint, CheckpointError, Stored, checkpoint_of
from gridtie.host.fit.vllm import Card
from gridtie.host.models.checkpoint_install import Installed
from gridtie.host.models.vllm_model import Arranged, arranged, built_in, wanted_of
from standins.checkpoints import SMOLLM2, llama_tensors, size_of

COMPOSE = Path(__file__).parents[4] / "compose/engine.vllm.yaml"
GIB = 1 << 30
COMMIT = "b968826d9c46dd6066d109eabc6255188de91218"
HUB = {"name": "qwen3:8b", "source": "hf.co/Qwen/Qwen3-8B", "revision": COMMIT}
INSTALLED = Installed("sha256:abc", 16 * GIB, True)


def memory(total: int = 8, free: int = 8) -> list[Card]:
    return [Card("memory", total * GIB, free * GIB)]


def large(template: str = "{% if tools %}<tool_call>{% endif %}") -> Checkpoint:
    config = {
        **SMOLLM2,
        "architectures": ["Qwen3ForCausalLM"],
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40960,
    }
    return checkpoint_of("qwen3:8b", config, Stored(16 * GIB), template)


def on_card(given: dict[str, Any], count: int = 1, free: int = 47, runs: bool = False) -> Arranged:
    cards = [Card("NVIDIA L40S", 48 * GIB, free * GIB)] * count
    return arranged(wanted_of(given), large(), INSTALLED, cards, on_processor=False, runs=runs)


def test_the_small_model_of_the_image_is_served_by_the_processor() -> None:
    done = arranged(wanted_of({"name": "smollm2:135m"}), built_in(), None, memory(), on_processor=True)

    words = " ".join(done.arguments)
    assert "--model /opt/smollm2-135m --served-model-name gridtie/smollm2:135m" in words
    assert "--max-model-len 8192" in words
    assert "--enforce-eager" in done.arguments
    assert "--enable-scale-out" in done.arguments
    # Eight requests of 8,192 tokens, each with 23,040 bytes.
    assert done.cache_gib == -(-8 * 8192 * 23040 // GIB)
    assert done.model["purposes"] == ["code", "chat", "smoke-test"]
    assert (done.model["url"], done.model["context"], done.model["parallel"]) == ("http://engine:8000", 8192, 8)


def test_running_answers_may_end_before_its_container_is_stopped() -> None:
    service = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["engine"]
    words = on_card(HUB).arguments

    assert 0 < int(words[words.index("--shutdown-timeout") + 1]) < int(service["stop_grace_period"].removesuffix("s"))


def test_what_is_said_of_the_built_in_model_is_what_its_shapes_come_to() -> None:
    assert built_in().weights == size_of(llama_tensors(SMOLLM2))


def test_a_model_of_the_hub_is_served_by_cards_with_what_reads_its_calls() -> None:
    done = on_card({**HUB, "tensor_parallel": 2, "context": 32768, "gpu_memory_utilization": 0.9}, count=2)

    words = " ".join(done.arguments)
    assert "--model /models/vllm/qwen3-8b" in words
    assert "--max-model-len 32768 --tensor-parallel-size 2 --gpu-memory-utilization 0.9" in words
    assert "--enable-auto-tool-choice --tool-call-parser hermes" in words
    assert "--enforce-eager" not in done.arguments
    assert done.cache_gib == 0
    assert done.model["capabilities"] == ["chat", "json", "tools"]
    assert done.model["purposes"] == ["code", "chat", "smoke-test"]
    assert (done.model["digest"], done.model["source"], done.model["file"]) == ("sha256:abc", "hub", "vllm/qwen3-8b")


def test_a_parser_that_is_named_outranks_the_template_and_an_empty_one_means_none() -> None:
    assert "xlam" in on_card({**HUB, "tool_parser": "xlam", "context": 8192}).arguments
    without = on_card({**HUB, "tool_parser": "", "context": 8192})
    assert "--enable-auto-tool-choice" not in without.arguments
    assert "tools" not in without.model["capabilities"]


def test_the_same_wishes_give_the_same_settings_whatever_else_is_going_on() -> None:
    first = arranged(wanted_of({"name": "smollm2:135m"}), built_in(), None, memory(8, 8), on_processor=True)
    again = arranged(wanted_of({"name": "smollm2:135m"}), built_in(), None, memory(8, 0), on_processor=True, runs=True)

    assert (again.arguments, again.cache_gib, again.model) == (first.arguments, first.cache_gib, first.model)


def test_what_does_not_fit_is_refused_with_what_would() -> None:
    with pytest.raises(CheckpointError, match=r"does not fit: .*largest context that fits is \d+ \(gridtie_vllm_model"):
        on_card({**HUB, "gpu_memory_utilization": 0.42})
    with pytest.raises(CheckpointError, match=r"10\.0 GiB are free"):
        on_card({**HUB, "context": 8192}, free=10)
    with pytest.raises(CheckpointError, match="tensor_parallel is 4, and there are 1 cards"):
        on_card({**HUB, "tensor_parallel": 4})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({**HUB, "contxt": 1}, "gridtie_vllm_model.contxt: unknown; known are arguments, context"),
        ({**HUB, "context": "32k"}, "gridtie_vllm_model.context is '32k'; wanted: int"),
        ({**HUB, "parallel": -1}, "gridtie_vllm_model.parallel is -1; wanted is a number from 1 on"),
        ({**HUB, "parallel": True}, "gridtie_vllm_model.parallel is True"),
        ({**HUB, "kv_type": "q8_0"}, "kv_type is 'q8_0'; vLLM knows auto and fp8"),
        ({"name": "../x", "source": "/m"}, "gridtie_vllm_model.name is '../x'"),
        ({"name": "qwen3:8b"}, "qwen3:8b has no source; wanted: a directory"),
        ({}, "gridtie_vllm_model.name is ''"),
        ({**HUB, "revision": "main"}, "its revision is 'main'; wanted is a commit"),
        ({"name": "qwen3:8b", "source": "models/qwen3"}, "source is 'models/qwen3'; wanted: the whole path"),
        ({**HUB, "gpu_memory_utilization": 92}, "gpu_memory_utilization is 92; wanted is a share of a card"),
        ({**HUB, "gpu_memory_utilization": 0}, "gpu_memory_utilization is 0; wanted is a share of a card"),
        ({**HUB, "gpu_memory_utilization": float("nan")}, "gpu_memory_utilization is nan"),
        ({**HUB, "arguments": ["--hf-overrides", '{"a": 1}']}, r"arguments: '{\"a\": 1}' cannot be handed on"),
        ({**HUB, "arguments": ["--seed 1"]}, "arguments: '--seed 1' cannot be handed on"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key(given: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        wanted_of(given)
