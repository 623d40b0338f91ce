"""What to do about a prompt that is longer than the context that a station gave its model. Pure."""

from __future__ import annotations

from gridtie.providers.target import Target

# Tokens that an answer should have room for behind the prompt.
ANSWER = 512
_GIB = 1 << 30


def advice(target: Target, prompt_tokens: int | None) -> str:
    """The setting that raises the context of this station's model, and what that costs in memory; "" where it is not
    this station's, or nothing is known of it.
    """
    if not target.own or not target.trained_context:
        return ""
    wanted = (prompt_tokens or target.context or 0) + ANSWER
    name = target.model.partition("/")[2]
    found = next(((context, size) for context, size in target.larger_contexts if context >= wanted), None)
    if found is None:
        least = f" and {wanted} are wanted, {ANSWER} of them for an answer" if prompt_tokens else ""
        return f"{name} was trained for {target.trained_context} tokens{least}: ask a model that has more"
    context, size = found
    now = f" (now {target.predicted_bytes / _GIB:.1f})" if target.predicted_bytes else ""
    setting = f"gridtie_models: [{{name: {name}, context: {context}}}]"
    return f"for more set {setting}, which takes {size / _GIB:.1f} GiB of memory{now}"
