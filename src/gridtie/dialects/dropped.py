"""What a translation may leave out of a request, of what only the client's own dialect knows.

The table in docs/routing.md says the same for people, and a test holds one to the other. Left out is only what
changes nothing: labels, hints that promise nothing, what a station decides, and settings at the value that they have
anyway. Everything else is refused.
"""

from __future__ import annotations

import re

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.types import Dialect

# Any value.
_ANY = None

_Values = tuple[object, ...] | None

_OPENAI: dict[str, _Values] = {
    # Labels, and what the station decides.
    **dict.fromkeys(("user", "metadata", "store", "service_tier", "safety_identifier"), _ANY),
    **dict.fromkeys(("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"), _ANY),
    **dict.fromkeys(("keep_alive", "cache_prompt", "stream_options.include_obfuscation"), _ANY),
    # Hints. Whether thinking is switched off, in whichever of these words, is known beside them.
    **dict.fromkeys(("prediction", "verbosity", "reasoning_effort", "think"), _ANY),
    **dict.fromkeys(("chat_template_kwargs.enable_thinking", "chat_template_kwargs.thinking"), (True, False)),
    # At the value that they have anyway.
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": ([], ["text"]),
    "functions": ([], "none", "auto"),
    "function_call": ([], "none", "auto"),
    # What an SDK or a proxy sends back of an earlier answer.
    **dict.fromkeys(
        (
            f"messages[].{name}"
            for name in (
                *("id", "index", "annotations", "parsed", "reasoning_details", "thinking_blocks"),
                "provider_specific_fields",
            )
        ),
        _ANY,
    ),
    **dict.fromkeys(("messages[].prefix", "messages[].partial"), (False,)),
    **dict.fromkeys((f"messages[].tool_calls[].{name}" for name in ("index", "extra_content")), _ANY),
    "messages[].tool_calls[].function.parsed_arguments": _ANY,
    "messages[].content[].image_url.detail": _ANY,
}

_ANTHROPIC: dict[str, _Values] = {
    # Labels, and what its provider's own service decides.
    **dict.fromkeys(("metadata", "service_tier", "cache_control", "diagnostics"), _ANY),
    # Hints. Whether thinking is switched off is known beside it; what may be cleared of a long conversation need not.
    **dict.fromkeys(("thinking", "output_config.effort", "context_management"), _ANY),
    "mcp_servers": ([],),
    "container": (),
    # A tool whose schema is to be loaded when it is searched for is shown at once, where nothing searches.
    **dict.fromkeys(("tools[].defer_loading", "tools[].eager_input_streaming", "tools[].allowed_callers"), _ANY),
    **dict.fromkeys(("messages[].content[].citations", "system[].citations"), (None, [])),
    "messages[].content[].caller": _ANY,
    # Reasoning that its provider alone can read.
    "messages[].content[].redacted_thinking": _ANY,
}

_OLLAMA: dict[str, _Values] = {
    # Of the station: how long a model stays loaded, and its context, which another value would load it anew for.
    **dict.fromkeys(("keep_alive", "options.num_ctx", "options.num_keep", "options.num_batch"), _ANY),
    **dict.fromkeys(("options.num_gpu", "options.main_gpu", "options.use_mmap", "options.num_thread"), _ANY),
    "options.numa": _ANY,
    # Nothing is cut, by the router's own rule: a prompt that does not fit is refused or goes to another target.
    **dict.fromkeys(("truncate", "shift"), _ANY),
    # Hints, and settings at the value that they have anyway.
    "think": _ANY,
    "logprobs": (False,),
    "top_logprobs": (0,),
    "messages[].images": ([],),
}

_COMPLETIONS: dict[str, _Values] = {
    **dict.fromkeys(("user", "keep_alive", "cache_prompt", "stream_options.include_obfuscation"), _ANY),
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "logit_bias": ({},),
}

_RESPONSES: dict[str, _Values] = {
    # Labels, and what is decided here: no answer is stored.
    **dict.fromkeys(("user", "metadata", "client_metadata", "store", "safety_identifier", "service_tier"), _ANY),
    **dict.fromkeys(("prompt_cache_key", "prompt_cache_retention", "stream_options.include_obfuscation"), _ANY),
    # Hints. Whether thinking is switched off is known beside them.
    **dict.fromkeys(("reasoning.effort", "reasoning.summary", "reasoning.generate_summary", "text.verbosity"), _ANY),
    # What may be in an answer beside it; nothing of it is in one of another dialect.
    "include": _ANY,
    # Nothing is cut.
    "truncation": ("disabled",),
    "background": (False,),
    "top_logprobs": (0,),
    # Tools that its provider runs may be left out where the model need not call one; Codex always offers a search.
    **dict.fromkeys(("tools[].web_search", "tools[].web_search_preview"), _ANY),
    # What an earlier answer is sent back with.
    **dict.fromkeys((f"input[].{name}" for name in ("id", "status", "phase", "encrypted_content")), _ANY),
    **dict.fromkeys((f"input[].content[].{name}" for name in ("annotations", "logprobs", "detail")), _ANY),
    "input[].output[].detail": _ANY,
    "tools[].tools[].defer_loading": _ANY,
    "tools[].defer_loading": _ANY,
}

_DROPPED: dict[Dialect, dict[str, _Values]] = {
    "openai-responses": _RESPONSES,
    "openai": _OPENAI,
    "openai-completions": _COMPLETIONS,
    "anthropic": _ANTHROPIC,
    "ollama": _OLLAMA,
}
_INDEX = re.compile(r"\[\d+\]")


def patterns(dialect: Dialect) -> list[str]:
    """Every field of a dialect that others may leave out, with some value."""
    return list(_DROPPED[dialect])


def may_drop(dialect: Dialect, path: str, span: msgspec.Raw) -> bool:
    """Whether another dialect may leave this field of a request out, with this value."""
    pattern = _INDEX.sub("[]", path)
    fates = _DROPPED.get(dialect, {})
    if pattern not in fates:
        return False
    values = fates[pattern]
    if values is _ANY:
        return True
    try:
        found = msgspec.json.decode(span)
    except UNREADABLE:
        return False
    # 1 is not True here.
    return any(type(found) is type(value) and found == value for value in values)
