"""SmolLM2 with room and words for agents: the same weights under another header, to run agents' protocols for real.

Its own header says 8,192 tokens and knows no tools; agents open with up to 18,000. YaRN (Peng and others, 2023) with a
factor of four stretches the positions, and what it says to short questions stays right; linear scaling spoils it. The
template is in the manner of Hermes 2 Pro, which engines read: functions as JSON schemas, calls as JSON between tags.
What it calls is seldom the right thing: it is a model for tests, and is never chosen by itself.
"""

from __future__ import annotations

from typing import BinaryIO

from .gguf_rewrite import rewrite
from .gguf_write import FLOAT32, STRING, UINT32, Key

CONTEXT, TRAINED = 32768, 8192

TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages and messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- 'You can call functions. These are there, each described by a JSON schema:\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' + (tool | tojson) }}
    {%- endfor %}
    {{- '\\n</tools>\\nTo call one, answer with its name and arguments as JSON within tags:\\n<tool_call>\\n' }}
    {{- '{"name": "...", "arguments": {...}}\\n</tool_call><|im_end|>\\n' }}
{%- elif not messages or messages[0].role != 'system' %}
    {{- '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- elif message.role == 'assistant' and message.tool_calls %}
        {{- '<|im_start|>assistant\\n' + (message.content or '') }}
        {%- for call in message.tool_calls %}
            {%- set call = call.function or call %}
            {{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role != 'system' or not loop.first %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

_CHANGES = (
    Key("general.name", STRING, "SmolLM2 135M Instruct with tools, for tests of protocols"),
    Key("llama.context_length", UINT32, CONTEXT),
    Key("llama.rope.scaling.type", STRING, "yarn"),
    Key("llama.rope.scaling.factor", FLOAT32, CONTEXT / TRAINED),
    Key("llama.rope.scaling.original_context_length", UINT32, TRAINED),
    Key("tokenizer.chat_template", STRING, TEMPLATE),
)


def with_tools(source: BinaryIO, target: BinaryIO) -> None:
    """Write SmolLM2's file `source` with the other header. Raises RewriteError."""
    rewrite(source, target, _CHANGES)
