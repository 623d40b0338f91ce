"""Which parsers of vLLM's a chat template asks for."""

from __future__ import annotations

import pytest

from gridtie.host.fit.vllm_parsers import reasoning_parser, tool_parser

TEMPLATES = [
    ("Qwen 2.5", "{% if tools %}<tool_call>{{ call }}</tool_call>", "hermes", ""),
    ("Qwen 3", "{% if tools %}<tool_call>{% if enable_thinking %}<think>", "hermes", "qwen3"),
    ("Qwen 3 Coder", "{% if tools %}<tool_call><function={{ name }}>", "qwen3_coder", ""),
    ("Llama 3.1", "{% if tools %}<|python_tag|>", "llama3_json", ""),
    ("gpt-oss", "{% if tools %}<|channel|>analysis", "openai", "openai_gptoss"),
    ("GLM 4.5", "{% if tools %}<tool_call><arg_key><think>", "glm45", "glm45"),
    ("DeepSeek R1", "<think>", "", "deepseek_r1"),
    ("without tools", "<tool_call>", "", ""),
    ("with marks of nobody's", "{% if tools %}{{ tools }}", "", ""),
    ("none", "", "", ""),
]


@pytest.mark.parametrize(
    ("template", "tools", "reasoning"), [row[1:] for row in TEMPLATES], ids=[r[0] for r in TEMPLATES]
)
def test_marks_say_what_reads_calls_and_reasoning(template: str, tools: str, reasoning: str) -> None:
    assert (tool_parser(template), reasoning_parser(template)) == (tools, reasoning)
