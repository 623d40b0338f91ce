"""Which of vLLM's parsers read a model's calls of tools and its reasoning, by the marks in its chat template. Pure.

The names are vLLM 0.32.0's (vllm/tool_parsers, vllm/reasoning); tests/scale holds them to its own lists. A template
without a mark that is known has no parser: vLLM then hands calls on as text, and refuses `tool_choice: auto`.
"""

from __future__ import annotations

# The first mark that is found counts: some templates have a wider one as well.
_TOOLS = (
    ("<|channel|>", "openai"),
    ("<arg_key>", "glm45"),
    ("<minimax:tool_call>", "minimax_m2"),
    ("<\uff5ctool\u2581calls\u2581begin\uff5c>", "deepseek_v3"),
    ("[TOOL_CALLS]", "mistral"),
    ("<|tool_call|>", "granite"),
    ("<function=", "qwen3_coder"),
    ("<tool_call>", "hermes"),
    ("<|python_tag|>", "llama3_json"),
)
_REASONING = (
    ("<|channel|>", "openai_gptoss"),
    ("[THINK]", "mistral"),
    ("<minimax:tool_call>", "minimax_m2"),
    ("<arg_key>", "glm45"),
    ("enable_thinking", "qwen3"),
    ("<think>", "deepseek_r1"),
)


def tool_parser(template: str) -> str:
    """For `--tool-call-parser`; "" where none is known, or the template knows no tools."""
    return _first(_TOOLS, template) if "tools" in template else ""


def reasoning_parser(template: str) -> str:
    """For `--reasoning-parser`; "" where the template shows no reasoning."""
    return _first(_REASONING, template)


def _first(marks: tuple[tuple[str, str], ...], template: str) -> str:
    return next((name for mark, name in marks if mark in template), "")
