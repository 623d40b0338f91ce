"""The command line of llama.cpp's `llama-server`, as far as a station uses it.

The list is what Ollama 0.34.4 can pass (`startLlamaServer` in its llm/llama_server.go, and its device discovery), plus
what the embedded engine needs. A flag outside it is refused: a setting that is silently dropped would serve another
model than the one that was asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NoReturn

# Settings that llama.cpp also reads from the environment, and that reach this process through Ollama's.
ENVIRONMENT_FLAGS = {
    "LLAMA_ARG_CACHE_RAM": "--cache-ram",
    "LLAMA_ARG_FIT": "--fit",
    "LLAMA_ARG_FIT_TARGET": "--fit-target",
}


class UnknownFlagError(ValueError):
    """A flag, or a flag's value, that this launcher does not know."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UnknownFlagError(message)


def _switch(value: str) -> bool:
    if value not in {"on", "off"}:
        raise argparse.ArgumentTypeError(f"{value!r}: on or off expected")
    return value == "on"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="llama-server", allow_abbrev=False)
    add = parser.add_argument
    add("-m", "--model")
    add("-a", "--alias")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8080)
    add("-c", "--ctx-size", type=int, default=0, help="tokens over all slots; 0: the model's own")
    add("-np", "--parallel", type=int, default=1)
    add("-b", "--batch-size", type=int)
    add("-ub", "--ubatch-size", type=int)
    add("-t", "--threads", type=int)
    add("-ngl", "--gpu-layers", type=int)
    add("--split-mode", choices=["none", "layer", "row"])
    add("--main-gpu", type=int)
    add("--fit", type=_switch)
    add("--fit-target", type=int, help="MiB to leave free on each device")
    add("--flash-attn", choices=["on", "off", "auto"], default="auto")
    add("--cache-type-k")
    add("--cache-type-v")
    add("--cache-ram", type=int, help="MiB of host memory for finished prompts; 0: none, -1: unlimited")
    add("--load-mode", choices=["none", "mmap", "mlock", "dio"])
    add("--context-shift", action="store_true")
    add("--keep", type=int)
    add("--embedding", action="store_true")
    add("--metrics", action="store_true")
    add("--no-webui", action="store_true")
    add("--offline", action="store_true")
    add("--no-jinja", action="store_true")
    add("--chat-template")
    add("--mmproj")
    add("--no-mmproj-offload", action="store_true")
    add("--image-min-tokens", type=int)
    add("--lora", action="append", default=[])
    add("--spec-type", choices=["draft-mtp", "draft-dflash"])
    add("--spec-draft-n-max", type=int)
    add("--spec-draft-backend-sampling", action="store_true")
    add("--spec-draft-model")
    add("--log-verbosity", type=int)
    # The library always writes its own prefix; Ollama's reader of these lines copes with it.
    add("--no-log-prefix", action="store_true")
    add("--no-log-timestamps", action="store_true")
    add("--verbose", action="store_true")
    add("--list-devices", action="store_true")
    return parser


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """The settings in `argv`, with those of `environ` as their defaults.

    Raises UnknownFlagError for a flag, a value or an LLAMA_ARG_ variable that is not known here.
    """
    inherited: list[str] = []
    for name, value in sorted(environ.items()):
        if not name.startswith("LLAMA_ARG_"):
            continue
        if name not in ENVIRONMENT_FLAGS:
            raise UnknownFlagError(f"environment variable {name} is not supported")
        inherited += [ENVIRONMENT_FLAGS[name], value]
    return _parser().parse_args([*inherited, *argv])
