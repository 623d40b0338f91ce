"""The command line of `llama-server`, as Ollama writes it."""

from __future__ import annotations

import pytest
from gridtie_engine.flags import UnknownFlagError, parse

# What `startLlamaServer` of Ollama 0.34.4 passes for an ordinary chat model, in its order.
CHAT = (
    "--model /models/blobs/sha256-ab --port 40123 --host 127.0.0.1 --no-webui --offline -c 8192 -np 1 "
    "--log-verbosity 4 --no-log-prefix --no-log-timestamps --no-jinja --chat-template chatml "
    "--cache-type-k q8_0 --cache-type-v q8_0 --flash-attn on -b 1024 -ub 1024 -ngl 0 -t 2 --context-shift --keep 4"
)
# The rest of its flags: projector, drafts, Qwen-VL, adapters, loading, embedding, one GPU.
RARE = (
    "--model m --mmproj p --no-mmproj-offload --spec-type draft-mtp --spec-draft-n-max 4 "
    "--spec-draft-backend-sampling --spec-draft-model d --image-min-tokens 1024 --lora a --lora b --load-mode dio "
    "--embedding --split-mode none --main-gpu 1"
)


def test_everything_that_ollama_passes_is_understood() -> None:
    args = parse(CHAT.split(), {})

    assert (args.model, args.port, args.ctx_size, args.parallel) == ("/models/blobs/sha256-ab", 40123, 8192, 1)
    assert (args.flash_attn, args.cache_type_k, args.gpu_layers, args.keep) == ("on", "q8_0", 0, 4)
    assert args.context_shift


def test_the_rare_flags_are_understood() -> None:
    args = parse(RARE.split(), {})

    assert (args.lora, args.load_mode, args.spec_draft_n_max) == (["a", "b"], "dio", 4)


def test_device_discovery_is_understood() -> None:
    assert parse(["--port", "50000", "--host", "127.0.0.1", "--no-webui", "--offline", "--verbose"], {}).model is None
    assert parse(["--list-devices", "--offline", "--verbose"], {}).list_devices


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("--model m --moe-offload 3", "--moe-offload"),
        ("--model m --ctx 4096", "--ctx"),  # an abbreviation is another flag tomorrow
        ("--model m --flash-attn yes", "yes"),
        ("--model m -c many", "many"),
    ],
)
def test_a_flag_or_value_that_is_not_known_is_named(line: str, named: str) -> None:
    with pytest.raises(UnknownFlagError, match=named):
        parse(line.split(), {})


def test_llama_cpps_own_variables_are_defaults_that_a_flag_outranks() -> None:
    environ = {"LLAMA_ARG_CACHE_RAM": "256", "LLAMA_ARG_FIT": "off", "LLAMA_MEDIA_MARKER": "<x>", "PATH": "/bin"}

    args = parse(["--model", "m", "--cache-ram", "0"], environ)

    assert (args.cache_ram, args.fit) == (0, False)


def test_a_variable_that_would_be_dropped_is_refused() -> None:
    with pytest.raises(UnknownFlagError, match="LLAMA_ARG_CTX_SIZE"):
        parse(["--model", "m"], {"LLAMA_ARG_CTX_SIZE": "4096"})
