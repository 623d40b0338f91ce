"""Records what llama.cpp's own server says it would reserve, for every shape of the catalogue and for random ones.

    make oracle        # both versions, some three minutes

One model alone, to look at it: `--only smollm2:135m`, with src and tests on PYTHONPATH, in an environment that
scripts/record-fit-oracle made below .cache/.

Recipe: write a header-only GGUF of the true shape (`standins.shape_gguf`), start the server on it with `fit_params` and
a verbose log, read its dry run ("fitting params to device memory", nothing allocated), and stop it before it loads the
model for real. The dry run of the server is the reference for servers: `llama-fit-params` of the same build reserves
logits for every token of a batch, which a server does not.

The record lies beside this file, one for each version of the tool; `test_fit_oracle.py` holds the formula against all:
2026.8.10566 is the build that stations run (config/artefacts.yaml), 2026.10.11549 a later one, whose graph keeps one
embedding more of each token.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gridtie.catalogue import Shape, load
from gridtie.host.catalogue import Experts
from gridtie.host.fit.memory import ubatch_of
from standins import shape_gguf

# context, parallel, KV type, flash attention, ubatch
Point = tuple[int, int, str, bool, int]

HERE = Path(__file__).parent
CATALOGUE = HERE.parents[1] / "config" / "models.yaml"

# A context that is no multiple of 256 is among them.
CONTEXTS = (2048, 5000, 8192, 16384, 32768)
PARALLEL = (1, 2, 4)
# KV type and flash attention; a quantised cache needs it.
KINDS = (("f16", True), ("q8_0", True), ("q4_0", True), ("f16", False))
COLUMNS = ("model", "context", "parallel", "kv_type", "flash_attention", "ubatch", "file", "weights", "kv", "compute")
# Random shapes are the same for everybody.
SEED, SHAPES, POINTS_EACH = 2026, 120, 3

_SERVER = """
import sys, xllamacpp
model, context, parallel, kv, flash, ubatch = sys.argv[1:]
context, parallel, flash, ubatch = int(context), int(parallel), int(flash), int(ubatch)
kinds, flashes = xllamacpp.ggml_type, xllamacpp.llama_flash_attn_type
p = xllamacpp.CommonParams()
p.model.path, p.n_ctx, p.n_parallel = model, context * parallel, parallel
p.n_batch = p.n_ubatch = ubatch
p.cache_type_k = p.cache_type_v = getattr(kinds, "GGML_TYPE_" + kv.upper())
p.flash_attn_type = flashes.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else flashes.LLAMA_FLASH_ATTN_TYPE_DISABLED
p.kv_unified, p.n_gpu_layers, p.verbosity, p.fit_params, p.port = False, 0, 5, True, 0
xllamacpp.Server(p)
"""

_NUMBERS = {
    "weights": re.compile(r"print_info: file size\s+=\s+([\d.]+) (MiB|GiB)"),
    "kv": re.compile(r"llama_kv_cache: size =\s+([\d.]+) (MiB)"),
    "output": re.compile(r"llama_context:\s+\S+\s+output buffer size =\s+([\d.]+) (MiB)"),
    "compute": re.compile(r"sched_reserve:\s+\S+ compute buffer size =\s+([\d.]+) (MiB)"),
}
_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="record one model, to look at it (nothing is written)")
    arguments = parser.parse_args()
    rows = []
    for name, shape in shapes():
        if arguments.only in (None, name):
            print(name, file=sys.stderr, flush=True)
            rows += list(record(name, shape, list(points(shape))))
    if arguments.only:
        print("\n".join(json.dumps(row) for row in rows))
        return
    drawn = []
    for number in range(SHAPES):
        draw = random.Random(SEED * 1000 + number)
        shape = random_shape(draw)
        found = list(record(str(number), shape, [random_point(draw) for _ in range(POINTS_EACH)]))
        drawn.append({"shape": dataclasses.asdict(shape), "points": found})
    version = importlib.metadata.version("xllamacpp")
    document = {
        "tool": "xllamacpp",
        "version": version,
        "recipe": "tests/contract/record_fit_oracle.py",
        "unit": "MiB",
        "columns": COLUMNS,
        "points": rows,
        "random": drawn,
    }
    text = json.dumps(document, separators=(",", ":")).replace("[[", "[\n[").replace("],[", "],\n[") + "\n"
    (HERE / f"fit_oracle-{version}.json").write_text(text, encoding="utf-8")


def points(shape: Shape) -> Iterator[Point]:
    """Every combination that the model was trained for: with Ollama's batch, and with llama-server's own."""
    for context, parallel, (kv, flash) in itertools.product(CONTEXTS, PARALLEL, KINDS):
        if context <= shape.context_length:
            own = ubatch_of("ollama", context * parallel)
            yield context, parallel, kv, flash, own
            if own != 512 and parallel == 1:
                yield context, parallel, kv, flash, 512


def random_shape(draw: random.Random) -> Shape:
    """A shape that a real model could have.

    Feed-forward blocks from 2.1 to 5.5 times the embedding (known models: 2.3 to 5.3), where they are dense; experts
    that together are at least twice as wide; heads whose queries are once or twice the embedding.
    """
    architecture = draw.choice(("llama", "llama", "qwen2", "qwen3", "qwen3moe"))
    # A quantised cache wants a multiple of 32.
    length = draw.choice((64, 64, 96, 128, 128, 128, 256))
    heads = draw.choice((8, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64))
    shared = draw.choice([count for count in (1, 2, 4, 5, 7, 8) if heads % count == 0])
    width = heads * length // (2 if architecture.startswith("qwen3") and draw.random() < 0.5 else 1)
    used = draw.choice((4, 6, 8))
    inner = max(256, int(width * draw.uniform(2, 5) / used) // 64 * 64)
    mixture = architecture == "qwen3moe"
    return Shape(
        architecture=architecture,
        context_length=131072,
        block_count=draw.choice((16, 24, 32, 48, 64)),
        embedding_length=width,
        head_count=heads,
        head_count_kv=heads // shared,
        key_length=length,
        value_length=length,
        vocab_size=draw.choice((32000, 49152, 128256, 151936)),
        feed_forward_length=0 if mixture else int(width * draw.uniform(2.1, 5.5)) // 64 * 64,
        experts=Experts(draw.choice((8, 32, 64)), used, inner) if mixture else None,
    )


def random_point(draw: random.Random) -> Point:
    kv, flash = draw.choice(KINDS)
    context = int(2 ** draw.uniform(9, 15.5))
    return context, draw.choice((1, 1, 2, 3, 4, 8)), kv, flash, draw.choice((128, 512, 512, 1024, 2048))


def shapes() -> Iterator[tuple[str, Shape]]:
    """Every predictable shape of the catalogue, and the one with compressed attention in both its forms."""
    for model in load(CATALOGUE).models.values():
        if model.hybrid:
            continue
        yield model.name, model.shape
        if model.shape.architecture == "deepseek2":
            yield f"{model.name}+mla", dataclasses.replace(model.shape, mla_cache=True)


def record(name: str, shape: Shape, wanted: list[Point]) -> Iterator[list[Any]]:
    with tempfile.TemporaryDirectory(prefix="gridtie-oracle-") as folder:
        path = Path(folder) / "shape.gguf"
        shape_gguf.write(path, shape)
        for point in wanted:
            found = dry_run(path, *point)
            compute = round(found["compute"] + found["output"], 2)
            yield [name, *point, path.stat().st_size, found["weights"], found["kv"], compute]


def dry_run(path: Path, *point: Any) -> dict[str, float]:
    """The server's dry-run figures in MiB. Compute buffers of several backends are added up."""
    command = [sys.executable, "-c", _SERVER, str(path), *(str(int(p) if isinstance(p, bool) else p) for p in point)]
    found: dict[str, float] = dict.fromkeys(_NUMBERS, 0.0)
    log = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            log.append(line)
            for key, pattern in _NUMBERS.items():
                if match := pattern.search(line):
                    found[key] += float(match[1]) * _UNITS[match[2]] / _UNITS["MiB"]
            if "memory breakdown" in line:
                server.kill()
                return found
        server.kill()
    raise SystemExit(f"no dry run was seen for {point}:\n{''.join(log[-20:])}")


if __name__ == "__main__":
    main()
