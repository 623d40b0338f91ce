"""What stock llama.cpp does not read is told by the header alone."""

from __future__ import annotations

from typing import Any

import pytest

from gridtie.host.fit.header import Header, Tensor
from gridtie.host.fit.stock import why_not_stock

EPSILON = {"gemma3.attention.layer_norm_rms_epsilon": 1e-6}


def header(architecture: str, more: dict[str, Any] | None = None, *tensors: str) -> Header:
    return Header(
        {"general.architecture": architecture, **(more or {})}, {name: Tensor((32,), 0, 0) for name in tensors}
    )


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (header("gptoss"), "which stock llama.cpp knows as 'gpt-oss'"),
        (header("glm4moelite"), "which stock llama.cpp knows as 'deepseek2'"),
        (header("gemma3"), "lacks gemma3.attention.layer_norm_rms_epsilon"),
        (header("gemma3", EPSILON, "v.blk.0.attn_q.weight", "mm.proj.weight"), "2 tensors of an encoder"),
        (header("qwen35"), "lacks qwen35.rope.dimension_sections"),
    ],
)
def test_a_header_of_ollamas_own_is_known_with_the_reason(found: Header, reason: str) -> None:
    assert reason in why_not_stock(found)


@pytest.mark.parametrize(
    "found",
    [
        header("gpt-oss"),
        header("gemma3", EPSILON, "blk.0.attn_v.weight"),
        header("qwen35", {"qwen35.rope.dimension_sections": (11, 11, 10, 0)}),
        header("clip", {}, "v.blk.0.attn_q.weight"),
    ],
)
def test_nothing_speaks_against_a_makers_own_file(found: Header) -> None:
    assert why_not_stock(found) == ""
