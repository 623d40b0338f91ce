"""What llama.cpp makes of each architecture's header, as data: which layers slide, recur, share, what a block holds.

Read in llama.cpp's sources (src/models/*.cpp, `load_arch_hparams` and the graphs; src/llama-model.cpp,
`create_memory`) of builds 10566 and 11549, and held to the dry runs of the server of both and of 11063
(tests/contract/test_fit_oracle.py).
What is not in the table has not been measured and is never computed by another's rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional

# The build whose server reads a pattern of sliding layers from an array (`load_swa_pattern`) and keeps no cache for
# next-token heads. Each came in some build after 10566.
PATTERNS_IN = 11063
# The build whose server keeps a batch's embeddings once more than before. It came in some build after 11063.
CHANGED_IN = 11549

# Which layers recur.
NO_HEADS = "those without key/value heads"
NO_HEADS_NO_FEED_FORWARD = "those without key/value heads and without a feed-forward block"
INTERVAL = "all but the last of so many"
ALL = "all"
BESIDE = "all, beside attention"


@dataclass(frozen=True)
class Sliding:
    """Which layers slide: all but the last (or the `first`) of `every`; 0: only the header's pattern says.

    `size` is the window where the header names none; 0: without the header's window nothing slides, or where it is
    `required` the model cannot be loaded. `fixed`: the window whatever the header says. `arrays_since`: the build that
    reads the pattern from an array. `blocks`: only models of so many blocks slide.
    """

    every: int
    first: bool = False
    size: int = 0
    fixed: bool = False
    required: bool = False
    arrays_since: int = PATTERNS_IN
    blocks: int = 0


@dataclass(frozen=True)
class Rule:
    """One architecture. The defaults are those of a dense transformer with a gated feed-forward block.

    `since`: the first build that was seen to know it.
    `recurs`: which layers keep a state; `interval`: of how many one is attention where the header does not say.
    `shares_after`: layers from this on have no cache of their own. `shares`: the header says how many of the last have
    none. `keeps_cache`: not so in encoders, which read a text at once. `heads_cached_until`: next-token heads have a
    cache in builds below this. `tied_twice`: tied embeddings are loaded twice.

    `gates`: how many tensors of the feed-forward's width are alive at once: gate, up and their product, or one where
    nothing is gated. `room`: whether the room of the attention's output stays beside them in builds before CHANGED_IN.
    `more`: further copies of the embedding, before CHANGED_IN and since. `at_scores`: the same beside the scores of all
    heads, where it is not what the widths of embedding and queries say.
    """

    since: int = 0
    sliding: Optional[Sliding] = None
    recurs: str = ""
    interval: int = 0
    shares_after: int = 0
    shares: bool = False
    heads_cached_until: int = PATTERNS_IN
    tied_twice: bool = False
    keeps_cache: bool = True
    gates: int = 3
    room: bool = True
    more: tuple[int, int] = (0, 0)
    at_scores: Optional[tuple[int, int]] = None


_PLAIN = Rule()
_NO_ROOM = Rule(room=False)
_UNGATED = Rule(gates=1)
_LINEAR = Rule(recurs=INTERVAL, interval=4, heads_cached_until=0, room=False, at_scores=(1, 2))
_BY_PATTERN = Sliding(0, required=True, arrays_since=0)
_ENCODER = Rule(keeps_cache=False, room=False, at_scores=(1, 2))

RULES: dict[str, Rule] = {
    **dict.fromkeys(("llama", "mistral3", "qwen2", "qwen3", "granite", "smollm3", "seed_oss", "gemma"), _PLAIN),
    **dict.fromkeys(("qwen2moe", "qwen3moe", "granitemoe", "olmoe", "glm4moe", "minimax-m2", "ernie4_5-moe"), _PLAIN),
    **dict.fromkeys(("glm4", "command-r"), _PLAIN),
    **dict.fromkeys(("deepseek2", "mistral4"), Rule(at_scores=(4, 2))),
    "phi3": replace(_NO_ROOM, at_scores=(-2, 0)),
    **dict.fromkeys(
        ("starcoder2", "nemotron", "arcee", "falcon", "phi2", "gptneox", "starcoder", "codeshell"), _UNGATED
    ),
    **dict.fromkeys(
        ("internlm2", "exaone", "minicpm", "baichuan", "ernie4_5", "qwen2vl", "qwen3vl", "qwen3vlmoe"), _PLAIN
    ),
    **dict.fromkeys(("deepseek", "hunyuan-moe", "hunyuan-dense", "bailingmoe2", "dots1", "olmo", "stablelm"), _PLAIN),
    **dict.fromkeys(("chatglm", "phimoe", "orion", "xverse", "deci", "maincoder", "dbrx"), _PLAIN),
    "smallthinker": Rule(sliding=Sliding(4, first=True)),
    **dict.fromkeys(("mimo2", "step35"), Rule(sliding=_BY_PATTERN)),
    **dict.fromkeys(("maple", "spark2_5"), Rule(sliding=_BY_PATTERN, since=PATTERNS_IN)),
    "exaone-moe": Rule(sliding=Sliding(4, required=True)),
    "afmoe": Rule(sliding=Sliding(4)),
    "mellum": Rule(sliding=Sliding(4, arrays_since=0)),
    "gemma2": Rule(sliding=Sliding(2, size=4096)),
    "gemma3": Rule(sliding=Sliding(6)),
    "gemma3n": Rule(sliding=Sliding(5, required=True), shares_after=20, tied_twice=True),
    "gemma4": Rule(sliding=Sliding(0, required=True, arrays_since=0), shares=True, tied_twice=True),
    "gpt-oss": Rule(sliding=Sliding(2, required=True)),
    "cohere2": Rule(sliding=Sliding(4, required=True), more=(1, 1)),
    "cohere2moe": Rule(sliding=Sliding(4, first=True, required=True, arrays_since=0), more=(2, 4)),
    "llama4": Rule(sliding=Sliding(4, size=8192, fixed=True), more=(1, 1)),
    "laguna": Rule(sliding=Sliding(4, first=True), more=(0, 1)),
    "muse-glimmer": replace(_NO_ROOM, sliding=Sliding(4, required=True, arrays_since=0)),
    "olmo2": Rule(sliding=Sliding(4)),
    "exaone4": Rule(sliding=Sliding(4, size=4096, blocks=64)),
    **dict.fromkeys(("qwen3next", "qwen35", "qwen35moe"), _LINEAR),
    "granitehybrid": Rule(recurs=NO_HEADS),
    **dict.fromkeys(("nemotron_h", "nemotron_h_moe"), replace(_UNGATED, recurs=NO_HEADS_NO_FEED_FORWARD)),
    **dict.fromkeys(("lfm2", "lfm2moe"), replace(_NO_ROOM, recurs=NO_HEADS)),
    **dict.fromkeys(("jamba", "kimi-linear"), Rule(recurs=NO_HEADS)),
    "falcon-h1": Rule(recurs=BESIDE),
    "mamba2": Rule(recurs=ALL),
    "bert": replace(_ENCODER, gates=1),
    "nomic-bert": replace(_ENCODER, more=(-1, 0)),
    "gemma-embedding": replace(_ENCODER, sliding=Sliding(6, required=True), at_scores=(0, 1)),
}
