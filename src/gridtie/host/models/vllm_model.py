"""The model that vLLM serves on a station: what was asked for, held to the machine, and as station.json has it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from ..fit.checkpoint import Checkpoint, CheckpointError, Stored, checkpoint_of
from ..fit.memory import GIB
from ..fit.vllm import SHARE, Card, Settings, Use, arguments, too_little_free, used
from ..purpose_names import SMOKE_TEST
from .checkpoint_install import Installed, Source, check_source
from .hugging_face import is_hub_name
from .store import own_name

# Where the engine listens, as the router reaches it (compose/engine.vllm.yaml).
URL = "http://engine:8000"
# Below it the container has what the host has in the directory of models.
_IN_CONTAINER = "/models"
# In the image that is made here (compose/images/vllm/Dockerfile).
_BUILT_IN = "/opt/smollm2-135m"
# Seconds that running answers have to end, less than `stop_grace_period` of compose/engine.vllm.yaml.
_DRAIN_S = 50

# SmolLM2 135M as that image has it: 134,515,008 parameters of two bytes.
SMOLLM2 = "smollm2:135m"
_SMOLLM2_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
_SMOLLM2_BYTES = 2 * 134_515_008

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}(:[a-z0-9][a-z0-9._-]{0,79})?")
# What a shell takes as it is: the settings' file holds no quotes.
_ARGUMENT = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_KNOWN = {
    "name": str,
    "source": str,
    "revision": str,
    "context": int,
    "parallel": int,
    "kv_type": str,
    "tensor_parallel": int,
    "gpu_memory_utilization": float,
    "tool_parser": str,
    "reasoning_parser": str,
    "purposes": list,
    "arguments": list,
}


@dataclass(frozen=True)
class Wanted:
    """What was asked for (`gridtie_vllm_model`). `source` is a directory of the machine or hf.co/OWNER/REPOSITORY; None
    the small model that the image for the processor has. Parsers that are None come from the chat template.
    """

    name: str
    source: Optional[Source] = None
    context: int = 0
    parallel: int = 8
    cache_bytes: Optional[int] = None
    cards: int = 1
    share: float = SHARE
    tools: Optional[str] = None
    reasoning: Optional[str] = None
    purposes: Sequence[str] = ("code", "chat")
    more: Sequence[str] = field(default=())

    @property
    def directory(self) -> str:
        """Its directory's name among the models."""
        return self.name.replace(":", "-")


@dataclass(frozen=True)
class Arranged:
    """`arguments` of vLLM's server; `cache_gib` what the processor gives its cache, 0 on cards; `model` is for
    station.json.
    """

    arguments: Sequence[str]
    cache_gib: int
    model: Mapping[str, Any]


def wanted_of(given: Mapping[str, Any]) -> Wanted:
    """What an inventory says. Raises CheckpointError, which names the key."""
    for key, value in given.items():
        kind = _KNOWN.get(key)
        if kind is None:
            raise CheckpointError(f"gridtie_vllm_model.{key}: unknown; known are {', '.join(sorted(_KNOWN))}")
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            raise CheckpointError(f"gridtie_vllm_model.{key} is {value!r:.60}; wanted: {kind.__name__}")
    name = str(given.get("name", ""))
    if not _NAME.fullmatch(name):
        raise CheckpointError(f"gridtie_vllm_model.name is {name!r:.60}; wanted is a name such as qwen3:8b")
    source = str(given.get("source", ""))
    if not source and name != SMOLLM2:
        raise CheckpointError(
            f"gridtie_vllm_model: {name} has no source; wanted: a directory of the machine, or hf.co/OWNER/REPOSITORY "
            "with its revision"
        )
    if source and not source.startswith("/") and not is_hub_name(source):
        raise CheckpointError(
            f"gridtie_vllm_model.source is {source!r:.120}; wanted: the whole path of a directory of the machine, or "
            "hf.co/OWNER/REPOSITORY"
        )
    if source:
        check_source(Source(source, str(given.get("revision", ""))))
    share = float(given.get("gpu_memory_utilization", SHARE))
    if not 0 < share <= 1:
        raise CheckpointError(
            f"gridtie_vllm_model.gpu_memory_utilization is {share:g}; wanted is a share of a card, above 0 and up to 1"
        )
    for word in given.get("arguments", ()):
        if not _ARGUMENT.fullmatch(str(word)):
            raise CheckpointError(
                f"gridtie_vllm_model.arguments: {str(word)!r:.80} cannot be handed on; wanted are words without "
                "spaces, quotes and backslashes: what is JSON is --OPTION.KEY and its value, as two words"
            )
    kv_type = given.get("kv_type", "auto")
    if kv_type not in ("auto", "fp8"):
        raise CheckpointError(f"gridtie_vllm_model.kv_type is {kv_type!r:.40}; vLLM knows auto and fp8")
    return Wanted(
        name,
        Source(source, str(given.get("revision", ""))) if source else None,
        cache_bytes=1 if kv_type == "fp8" else None,
        context=_positive(given, "context", 0),
        parallel=_positive(given, "parallel", 8),
        cards=_positive(given, "tensor_parallel", 1),
        share=share,
        tools=given.get("tool_parser"),
        reasoning=given.get("reasoning_parser"),
        # The only model of the host is also the one that shows whether it works.
        purposes=(*map(str, given.get("purposes", ("code", "chat"))), SMOKE_TEST),
        more=tuple(map(str, given.get("arguments", ()))),
    )


def built_in() -> Checkpoint:
    """The small model of the image for the processor."""
    return checkpoint_of(SMOLLM2, _SMOLLM2_CONFIG, Stored(_SMOLLM2_BYTES))


def arranged(
    wanted: Wanted,
    found: Checkpoint,
    installed: Optional[Installed],
    cards: Sequence[Card],
    *,
    on_processor: bool,
    runs: bool = False,
) -> Arranged:
    """How vLLM is to be started here. Raises CheckpointError where the model does not fit.

    What is free of the cards is looked at alone, and not where the engine `runs`, which holds some of it itself: the
    same wishes give the same settings, whatever else is going on.
    """
    model = replace(
        found,
        tools=found.tools if wanted.tools is None else wanted.tools,
        reasoning=found.reasoning if wanted.reasoning is None else wanted.reasoning,
    )
    settings = Settings(
        context=wanted.context,
        cards=wanted.cards,
        share=wanted.share,
        cache_bytes=wanted.cache_bytes,
        sequences=wanted.parallel,
        on_processor=on_processor,
    )
    if settings.cards > len(cards):
        raise CheckpointError(
            f"{wanted.name}: tensor_parallel is {settings.cards}, and there are {len(cards)} cards that vLLM is given: "
            "NVIDIA's, with memory of their own"
        )
    chosen = sorted(cards, key=lambda card: -card.total)[: settings.cards]
    use = used(model, [replace(card, free=card.total) for card in chosen], settings)
    now = use if runs else used(model, chosen, settings)
    if not now.fits:
        raise CheckpointError(
            f"{wanted.name} does not fit: {now.least / GIB:.1f} GiB at {now.context} tokens of context, "
            f"{now.share / GIB:.1f} GiB of {chosen[0].name} can be used; the largest context that fits is "
            f"{now.largest} (gridtie_vllm_model.context)"
        )
    if not runs and (reason := too_little_free(chosen, settings)):
        raise CheckpointError(f"{wanted.name}: {reason}")
    # What all requests at once need, each with the whole context, as far as there is room for it.
    cache = min(use.cache, wanted.parallel * use.request)
    return Arranged(
        arguments=[
            *("--model", _place(wanted), "--served-model-name", own_name(wanted.name)),
            *("--max-num-seqs", str(wanted.parallel), "--enable-prefix-caching"),
            # What came out of the cache is counted apart.
            "--enable-prompt-tokens-details",
            # Its tokens of a prompt, by which vllm-router finds the server that has read the beginning.
            "--enable-scale-out",
            # Without it, vLLM breaks off what runs when it is told to end; within the container's grace.
            *("--shutdown-timeout", str(_DRAIN_S)),
            *arguments(model, settings, use),
            # Nothing is compiled at the start: a trial is up in a minute, and the container's files are read-only.
            *(["--enforce-eager"] if on_processor else []),
            *wanted.more,
        ],
        cache_gib=max(1, -(-cache // GIB)) if on_processor else 0,
        model=_described(wanted, model, installed, use, cache),
    )


def _place(wanted: Wanted) -> str:
    return f"{_IN_CONTAINER}/vllm/{wanted.directory}" if wanted.source else _BUILT_IN


def _described(
    wanted: Wanted, model: Checkpoint, installed: Optional[Installed], use: Use, cache: int
) -> dict[str, Any]:
    """As station.json holds it."""
    capabilities = ["chat", "json", *(["tools"] if model.tools else []), *(["vision"] if model.sees else [])]
    return {
        "name": own_name(wanted.name),
        "catalogue": wanted.name,
        "dialect": "openai",
        "url": URL,
        "context": use.context,
        "parallel": wanted.parallel,
        "digest": installed.digest if installed else "",
        "quantisation": model.quantisation or "bf16",
        "source": ("hub" if wanted.source.on_hub else "directory") if wanted.source else "image",
        "capabilities": capabilities,
        "purposes": list(wanted.purposes),
        "score": None,
        "bytes": installed.bytes if installed else model.weights,
        # vLLM takes its share whole, so that a prediction by parts would be compared with nothing.
        "predicted_bytes": None,
        "predicted_parts": {},
        "trained_context": model.context_length,
        "larger_contexts": [],
        "why": f"gridtie_vllm_model; its cache holds {cache // max(1, use.request)} whole contexts",
        "held_calls": False,
        "file": f"vllm/{wanted.directory}" if wanted.source else "",
    }


def _positive(given: Mapping[str, Any], key: str, default: int) -> int:
    found = given.get(key, default)
    if found != default and found < 1:
        raise CheckpointError(f"gridtie_vllm_model.{key} is {found}; wanted is a number from 1 on")
    return int(found)


def directory_of(models: Path, wanted: Wanted) -> Path:
    """Where the checkpoint lies on the host."""
    return models / "vllm" / wanted.directory
