"""Sound inputs, and the words that are worth putting into unsound ones."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from faults.wire import WIRES

ROOT = Path(__file__).parents[2]

_CHAT = json.dumps({"model": "coder", "messages": [{"role": "user", "content": "hi"}]}).encode()


def _request(line: str, *fields: str, body: bytes = b"", length: bool = True) -> bytes:
    fields = ("host: 127.0.0.1", *fields, *((f"content-length: {len(body)}",) if body and length else ()))
    return "\r\n".join((line, *fields, "", "")).encode() + body


def _chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


_POST = "POST /v1/chat/completions HTTP/1.1"
REQUESTS = (
    _request(_POST, "content-type: application/json", body=_CHAT),
    _request("GET /healthz HTTP/1.1") * 3,
    b"".join(_request(_POST, body=body) for body in (_CHAT, b"{}", _CHAT * 3, b"[]")),
    _request(_POST, body=_CHAT) + _request("GET /metrics HTTP/1.1", "connection: close"),
    _request(_POST, "transfer-encoding: chunked", body=_chunked(_CHAT), length=False),
    _request(_POST, "transfer-encoding: chunked", body=_chunked(_CHAT)[:-2] + b"x-trailer: 1\r\n\r\n", length=False),
    _request(_POST, "expect: 100-continue", body=_CHAT),
    _request("GET / HTTP/1.0", "connection: keep-alive"),
    _request(_POST, "connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk", body=_CHAT),
    _request("HEAD http://127.0.0.1/healthz HTTP/1.1"),
    b"\r\n\r\n" + _request("OPTIONS * HTTP/1.1"),
)
REQUEST_WORDS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b" HTTP/1.0\r\n",
    b"host: 127.0.0.1\r\n", b"content-length: 5\r\n", b"content-length: -1\r\n",
    b"content-length: 99999999999999999999\r\n", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip, chunked\r\n", b"connection: close\r\n",
    b"connection: upgrade\r\nupgrade: websocket\r\n", b"expect: 100-continue\r\n", b"expect: x\r\n",
    b"content-encoding: gzip\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"5;x=y\r\n",
    b"x: " + b"y" * 999, b" folded: 1\r\n", b":\r\n", b"\x00", b"\xff\xfe", b"x-gridtie-tags: Private\r\n",
    b"hello",
)  # fmt: skip

RESPONSES = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + _chunked(b"hello, this is a stream"),
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsurplus!!",
    b"HTTP/1.0 200 OK\r\n\r\nold",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nPRI",
)
RESPONSE_WORDS = (
    b"\r\n", b"\n", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 099 X\r\n", b"HTTP/1.1 199 X\r\n",
    b"HTTP/1.1 500\r\n", b"HTTP/2 200\r\n", b"HTTP/1.1 999 X\r\n", b"content-length: 5\r\n",
    b"content-length: 0\r\n", b"content-length: -5\r\n", b"content-length: 18446744073709551617\r\n",
    b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip\r\n", b"connection: close\r\n",
    b"connection: keep-alive\r\n", b"upgrade: x\r\nconnection: upgrade\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n", b"hello", b"x: " + b"y" * 999 + b"\r\n", b"\x00", b"\xff",
)  # fmt: skip


def _streams(name: str) -> tuple[bytes, ...]:
    wire = next(wire for wire in WIRES if wire.name == name)
    text = wire.content("Hello ") + wire.content("wörld\n\n") + wire.content('"data: [DONE]"')
    return (
        wire.role() + text + wire.finish() + wire.end(),
        wire.role() + wire.ping() + text + wire.ping() + wire.finish("none") + wire.end(),
        wire.role() + text + wire.error_event(),
        wire.role() + text,
        text + wire.finish("odd") + wire.end(),
        (wire.role() + text + wire.finish() + wire.end()).replace(b"\n", b"\r\n"),
        *_TOOLS.get(name, ()),
    )


_TOOLS = {
    "openai": (
        b'data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","type":"function",'
        b'"function":'
        b'{"name":"f","arguments":""}}]}}]}\n\ndata: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,'
        b'"function":{"arguments":"{\\"a\\":1}"}}]},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n',
        b'data: {"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"so"}}],"usage":null}\n\n',
    ),
    "ollama": (
        b'{"model":"m","created_at":"2026-11-22T14:00:00Z","message":{"role":"assistant","content":"","thinking":"hm",'
        b'"tool_calls":[{"function":{"name":"f","arguments":{"a":[1,null,{"b":2.5}]}}}]},"done":false}\n'
        b'{"model":"m","created_at":"2026-11-22T14:00:00Z","message":{"role":"assistant","content":""},"done":true,'
        b'"done_reason":"stop","prompt_eval_count":5,"eval_count":2}\n',
    ),
    "anthropic": (
        b'event: content_block_start\ndata: {"type":"content_block_start","index":1,"content_block":'
        b'{"type":"tool_use",'
        b'"id":"t","name":"f","input":{}}}\n\nevent: content_block_delta\ndata: '
        b'{"type":"content_block_delta","index":1,'
        b'"delta":{"type":"input_json_delta","partial_json":"{\\"a\\":"}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta",'
        b'"thinking":"so"}}\n\n',
    ),
}
STREAMS = {wire.name: _streams(wire.name) for wire in WIRES}
WHOLES = {
    wire.name: (
        *(wire.whole("hello", usage) for usage in ("counted", "none", "null", "odd")),
        wire.error("server", "x"),
    )
    for wire in WIRES
}
ERRORS = {
    wire.name: (
        *(wire.error(kind, "no") for kind in ("rate_limit", "context", "not_found", "invalid")),
        b"<html>x</html>",
    )
    for wire in WIRES
}
STREAM_WORDS = (
    b"\n", b"\n\n", b"\r\n", b"\r\n\r\n", b"\r", b"\r\r", b"data: ", b"data:", b"event: error\n", b": ping\n\n",
    b"id: 1\n", b"retry: 5\n", b"data: [DONE]\n\n", b"[DONE]", b"\xef\xbb\xbf", b"{}", b"[]", b"null",
    b'"error":{}', b'"error":"x",', b'"usage":{},', b'"choices":[]', b'"choices":[{}]', b'"delta":null',
    b'"done":true', b'"type":"message_stop"', b'data: {"type":"ping"}\n\n', b'"index":-1',
    b'"finish_reason":"stop"', b"1e999", b"9" * 400, b"\xed\xa0\x80", b"\\ud800", b"[" * 600, b'{"a":' * 600,
    b"NaN", b"-0.0", b'"content":', b"\x00",
)  # fmt: skip

_PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}
_TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
_CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
_MESSAGES = [
    {"role": "system", "content": "be short"},
    {"role": "user", "content": [{"type": "text", "text": "what is this?"}, _PICTURE]},
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "t", "content": "42"},
]
BODIES = tuple(
    json.dumps({"model": "coder", "messages": _MESSAGES, **fields}).encode()
    for fields in (
        {},
        {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 100},
        {"tools": [_TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}},
        {"n": 2, "temperature": 0.5, "top_p": 1, "stop": ["a", "b"], "seed": 1, "logit_bias": {"5": 1}, "user": "u"},
        {"max_completion_tokens": 10.0, "reasoning_effort": "low", "metadata": {"a": "b"}, "keep_alive": "5m"},
    )
)
BODY_WORDS = (
    b"null", b"true", b"-1", b"0", b"1e999", b"-1000000", b"9" * 400, b"1.5", b'""', b"[]", b"{}", b"[[]]",
    b'{"":null}', b'"max_tokens":', b'"n":', b'"stream":', b'"model":', b'"messages":', b'"role":"robot"',
    b'"content":', b'"tools":', b'"type":"image_url"', b'"image_url":"x"', b'"arguments":null', b'"input_audio":{}',
    b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\x00", b"[" * 600, b'{"a":' * 600, b",", b":", b'"',
    b"}", b"]",
)  # fmt: skip

SECRET = "sk-proj-Zq81kxNeverShowThis7734"
ROUTING = (
    (ROOT / "config" / "llm_routing.yaml").read_bytes(),
    f"""version: 1
environments: [dev, ci]
providers:
  here: {{type: ollama, base_url: 'http://127.0.0.1:11434', locality: local}}
  cloud: {{type: openai, base_url: 'https://user:{SECRET}@api.example.com/v1', key_file: key}}
models:
  coder: {{local: [here/small, here/large], cloud: {{provider: cloud, model: big}}, min_score: 20}}
rules:
  - {{name: tagged, when: {{tags: [hipaa, Legal]}}, use: [local], never: cloud}}
  - {{name: all, use: [local, cloud], max_cost: 0.5, max_wait: 3}}
budgets:
  - {{name: b, usd: 5, period: day, environment: dev}}
timeouts: {{connect: 1, total: 20}}
limits: {{attempts: 3}}
""".encode(),
)
ROUTING_WORDS = (
    b"\n", b"\n  ", b"- ", b": ", b"{", b"}", b"[", b"]", b"&a ", b"*a", b"<<: *a\n", b"!!python/object:x ",
    b"!!binary aGk=\n", b"\t", b"'", b'"', b"|\n", b"#", b"---\n", b"...\n", b"%YAML 1.1\n", b"010", b"0x1F",
    b"1_000", b"1e3", b".inf", b".nan", b"~", b"yes", b"2026-13-45", b"12:30:45", b"-1", b"9" * 400, b"null",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"\r\n", b"{{ vault }}", b"!vault |\n", b"rules:\n", b"providers:\n",
    b"never: cloud", b"tags: [a]", b"use: []", b"- - - -", "\u2028".encode(), "\u0131".encode(), b"? ", b"key_file: x",
)  # fmt: skip


def _gguf(architecture: str, keys: Mapping[str, object], *tensors: str) -> bytes:
    """A small GGUF's header, with two blocks of matrices."""
    plain: dict[str, object] = {"block_count": 2, "context_length": 4096, "embedding_length": 64, "vocab_size": 100}
    plain |= {"feed_forward_length": 128, "attention.head_count": 4, "attention.head_count_kv": 2, **keys}
    pairs = [_pair("general.architecture", architecture), _pair("tokenizer.ggml.tokens", ["a", "b", "c"])]
    pairs += [_pair(f"{architecture}.{key}", value) for key, value in plain.items()]
    names = ("token_embd.weight", *(f"blk.{block}.{name}.weight" for block in range(2) for name in tensors))
    infos = [_text(name) + struct.pack("<IQQIQ", 2, 64, 32, 2, 0) for name in names]
    return b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _pair(key: str, value: object) -> bytes:
    return _text(key) + _value(value)


def _value(value: object) -> bytes:
    if isinstance(value, list):
        items = [_value(item) for item in value]
        return b"\x09\x00\x00\x00" + items[0][:4] + struct.pack("<Q", len(items)) + b"".join(i[4:] for i in items)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return struct.pack("<I", 8) + _text(str(value))


_LINEAR = {"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16, "ssm.group_count": 2}
_LINEAR |= {"ssm.time_step_rank": 8}
_EXPERTS = {"expert_count": 8, "expert_used_count": 2, "expert_feed_forward_length": 64}
GGUFS = (
    _gguf("llama", {}, "attn_q", "ffn_up"),
    _gguf("qwen3moe", {**_EXPERTS, "leading_dense_block_count": 1}, "ffn_up_exps"),
    _gguf("gemma3", {"attention.sliding_window": 512, "attention.sliding_window_pattern": [True, False]}, "attn_q"),
    _gguf(
        "gemma4",
        {
            "attention.sliding_window": 512,
            "attention.sliding_window_pattern": [True, False],
            "attention.shared_kv_layers": 1,
            "attention.key_length": 64,
            "attention.key_length_swa": 32,
            "embedding_length_per_layer_input": 16,
        },
    ),
    _gguf("gpt-oss", {**_EXPERTS, "attention.sliding_window": 128}),
    _gguf("qwen35", {**_LINEAR, "full_attention_interval": 2, "nextn_predict_layers": 1}),
    _gguf("granitehybrid", {**_LINEAR, "attention.head_count_kv": [0, 2]}),
    _gguf("nemotron_h", {**_LINEAR, "attention.head_count_kv": [0, 2], "feed_forward_length": [0, 0]}),
    _gguf("lfm2", {"attention.head_count_kv": [0, 2], "shortconv.l_cache": 3}),
    _gguf("deepseek2", {**_EXPERTS, "attention.key_length_mla": 48, "attention.value_length_mla": 32}, "attn_k_b"),
    _gguf("mamba2", {**_LINEAR, "attention.head_count": 0}),
    _gguf("unheard-of", {"scale": 0.5}),
)
GGUF_WORDS = (
    b"GGUF", b"\x03\x00\x00\x00", b"\x02\x00\x00\x00", b"\x00\x00\x00\x03", b"\x09\x00\x00\x00", b"\x08\x00\x00\x00",
    b"\x00" * 8, b"\x01" + b"\x00" * 7, b"\xff" * 8, b"\xff" * 4, b"\x00\x00\x00\x80", b"\x00" * 7 + b"\x80",
    struct.pack("<Q", 1 << 26), struct.pack("<Q", 1 << 40), struct.pack("<Q", 1025), struct.pack("<I", 512),
    struct.pack("<I", 513), struct.pack("<f", float("nan")), struct.pack("<f", float("inf")), struct.pack("<d", -1.0),
    _value([0, 0]), _value([1 << 31, 1]), _value(0), _value(1), _value(-1.0), _value(True), _value("x"), _value(["a"]),
    _pair("split.count", 3), _pair("general.alignment", 0), _pair("general.architecture", "llama"), _text("llama."),
    *(_pair(f"llama.{key}", 0) for key in ("block_count", "embedding_length", "attention.head_count")),
)  # fmt: skip
