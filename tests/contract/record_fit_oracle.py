"""Records what llama.cpp's own server says it would reserve: for every shape of the catalogue, for the headers of
`fit_shapes`, and for random ones of both.

    make oracle        # every version, ten minutes or more each

In an environment that scripts/record-fit-oracle made below .cache/, with src and tests on PYTHONPATH, `--only
gemma3-12b` shows one model, and `--part headers` records one part anew.

Recipe: write a header-only GGUF of the true shape (`standins.header_gguf`), start the server on it with `fit_params`
and a verbose log, read its dry run ("fitting params to device memory", nothing allocated), and stop it before it loads
the model for real. Repacked copies of weights, which depend on the processor, are switched off. The dry run of the
server is the reference for servers: `llama-fit-params` of the same build reserves logits for every token of a batch,
which a server does not.

The record lies beside this file, one for each version of the tool; `test_fit_oracle.py` holds the formula against all:
2026.9.11063 is the build that stations run (config/artefacts.yaml), 2026.8.10566 the one that they ran before, and
2026.10.11549 a later one, whose graph keeps one embedding more of each token.
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gridtie.catalogue import Shape, load
from gridtie.host.catalogue import Experts
from gridtie.host.fit.architectures import RULES
from gridtie.host.fit.memory import ubatch_of
from standins import fit_shapes, header_gguf, shape_gguf

# context, parallel, KV type, flash attention, ubatch, one cache for all sequences
Point = tuple[int, int, str, bool, int, bool]

HERE = Path(__file__).parent
CATALOGUE = HERE.parents[1] / "config" / "models.yaml"

# A context that is no multiple of 256 is among them.
CONTEXTS = (2048, 5000, 8192, 16384, 32768)
PARALLEL = (1, 2, 4)
# KV type and flash attention; a quantised cache needs it.
KINDS = (("f16", True), ("q8_0", True), ("q4_0", True), ("f16", False))
COLUMNS = (
    *("model", "context", "parallel", "kv_type", "flash_attention", "ubatch", "unified"),
    *("file", "weights", "kv", "state", "compute"),
)
# Random shapes are the same for everybody.
SEED, SHAPES, VARIED, POINTS_EACH = 2026, 120, 120, 3
# Every header is tried with these: contexts, requests at once, both kinds of attention, cache types, batches.
SETTINGS: tuple[Point, ...] = (
    (4096, 1, "f16", True, 512, False),
    (32768, 1, "f16", True, 512, False),
    (16384, 4, "f16", True, 2048, False),
    (8192, 4, "q8_0", True, 1024, False),
    (5000, 3, "f16", False, 512, False),
    (32768, 1, "f16", False, 1024, False),
    (8192, 2, "q4_0", True, 256, True),
    (1000, 8, "f16", False, 512, True),
)

_SERVER = """
import sys, xllamacpp
model, context, parallel, kv, flash, ubatch, unified = sys.argv[1:]
context, parallel, flash, ubatch, unified = int(context), int(parallel), int(flash), int(ubatch), int(unified)
kinds, flashes = xllamacpp.ggml_type, xllamacpp.llama_flash_attn_type
p = xllamacpp.CommonParams()
p.model.path, p.n_ctx, p.n_parallel = model, context * parallel, parallel
p.n_batch = p.n_ubatch = ubatch
p.cache_type_k = p.cache_type_v = getattr(kinds, "GGML_TYPE_" + kv.upper())
p.flash_attn_type = flashes.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else flashes.LLAMA_FLASH_ATTN_TYPE_DISABLED
p.kv_unified, p.n_gpu_layers, p.verbosity, p.fit_params, p.port = bool(unified), 0, 5, True, 0
p.no_extra_bufts = True
xllamacpp.Server(p)
"""

_NUMBERS = {
    "kv": re.compile(r"llama_kv_cache: size =\s+([\d.]+) (MiB)"),
    "state": re.compile(r"llama_memory_recurrent: size =\s+([\d.]+) (MiB)"),
    "output": re.compile(r"llama_context:\s+\S+\s+output buffer size =\s+([\d.]+) (MiB)"),
    "compute": re.compile(r"sched_reserve:\s+\S+ compute buffer size =\s+([\d.]+) (MiB)"),
}
# A line of the breakdown: everything, then weights, context and compute in whole MiB.
_BREAKDOWN = re.compile(r"\|\s+\d+ =\s+(\d+) \+\s+\d+ \+\s+\d+\s+\|")
_REASON = re.compile(
    r"error loading model: (.*)|llama_init_from_model: (.*)|(GGML_ASSERT\(.*\) failed)|(.*fatal error.*)"
)


class CannotLoad(Exception):
    """The server does not load the model; the message is its own reason."""


def main() -> None:
    parts: dict[str, Callable[[], Any]] = {
        "points": catalogue_points,
        "random": random_points,
        "headers": header_points,
        "varied": varied_points,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="record one model, to look at it (nothing is written)")
    parser.add_argument("--part", action="append", choices=parts, help="record this part alone, keep the others")
    arguments = parser.parse_args()
    if arguments.only:
        rows = [row for name, row in {**catalogue_points(arguments.only), **header_points(arguments.only)}.items()]
        print("\n".join(json.dumps(row) for row in rows))
        return
    version = importlib.metadata.version("xllamacpp")
    path = HERE / f"fit_oracle-{version}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if arguments.part else {}
    document = {
        "tool": "xllamacpp",
        "version": version,
        "recipe": "tests/contract/record_fit_oracle.py",
        "unit": "MiB",
        "columns": COLUMNS,
    }
    for part, record_part in parts.items():
        document[part] = record_part() if part in (arguments.part or parts) else kept[part]
    text = json.dumps(document, separators=(",", ":")).replace("[[", "[\n[").replace("],[", "],\n[") + "\n"
    path.write_text(text, encoding="utf-8")


def catalogue_points(only: str = "") -> dict[str, list[list[Any]]]:
    """Every predictable shape of the catalogue with all combinations."""
    wanted = [(name, shape) for name, shape in shapes() if only in ("", name)]
    return _side_by_side(
        lambda item: (item[0], record(item[0], list(points(item[1])), lambda path: shape_gguf.write(path, item[1]))),
        wanted,
    )


def header_points(only: str = "") -> dict[str, Any]:
    """Every header with all settings; of one that this build does not load, the reason."""
    wanted = [header for header in fit_shapes.headers() if only in ("", header.name)]
    return _side_by_side(lambda header: (header.name, record_header(header, SETTINGS)), wanted)


def random_points() -> list[dict[str, Any]]:
    drawn = []
    for number in range(SHAPES):
        draw = random.Random(SEED * 1000 + number)
        drawn.append((str(number), random_shape(draw), [random_point(draw) for _ in range(POINTS_EACH)]))
    found = _side_by_side(
        lambda item: (item[0], record(item[0], item[2], lambda path: shape_gguf.write(path, item[1]))), drawn
    )
    return [{"shape": dataclasses.asdict(shape), "points": found[name]} for name, shape, _ in drawn]


def varied_points() -> dict[str, Any]:
    """By the number that the shape is drawn with."""
    drawn = []
    for number in range(VARIED):
        draw = random.Random(number)
        header = fit_shapes.varied(draw)
        drawn.append((str(number), header, [random_point(draw) for _ in range(POINTS_EACH)]))
    return _side_by_side(lambda item: (item[0], record_header(item[1], item[2])), drawn)


def _side_by_side(work: Callable[[Any], tuple[str, Any]], items: list[Any]) -> dict[str, Any]:
    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(work, items))


def record_header(header: fit_shapes.Header, wanted: Sequence[Point]) -> Any:
    """Rows, or the reason why the server does not load it."""
    try:
        return record(header.name, wanted, lambda path: header_gguf.write(path, header.architecture, header.keys))
    except CannotLoad as reason:
        return str(reason)


def points(shape: Shape) -> Iterator[Point]:
    """Every combination that the model was trained for: with Ollama's batch, and with llama-server's own."""
    for context, parallel, (kv, flash) in itertools.product(CONTEXTS, PARALLEL, KINDS):
        if context <= shape.context_length:
            own = ubatch_of("ollama", context * parallel)
            yield context, parallel, kv, flash, own, False
            if own != 512 and parallel == 1:
                yield context, parallel, kv, flash, 512, False


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
    return context, draw.choice((1, 1, 2, 3, 4, 8)), kv, flash, draw.choice((128, 512, 512, 1024, 2048)), False


def shapes() -> Iterator[tuple[str, Shape]]:
    """Every plain shape of the catalogue, the one with compressed attention in both its forms. `fit_shapes` has the
    headers of others, encoders among them; a derived file has the shape of what it is made of.
    """
    for model in load(CATALOGUE).models.values():
        derived = any(source.kind == "derived" for source in model.sources)
        if model.shape.header or derived or not RULES[model.shape.architecture].keeps_cache:
            continue
        yield model.name, model.shape
        if model.shape.architecture == "deepseek2":
            yield f"{model.name}+mla", dataclasses.replace(model.shape, mla_cache=True)


def record(name: str, wanted: Sequence[Point], write: Callable[[Path], None]) -> list[list[Any]]:
    print(name, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="gridtie-oracle-") as folder:
        path = Path(folder) / "shape.gguf"
        write(path)
        found = {point: _figures(path, point) for point in wanted}
        refused = [figures for figures in found.values() if isinstance(figures, str)]
        if len(refused) == len(found):
            raise CannotLoad(refused[0])
        # Where the server fails over a model that it loads, there is nothing to compare with.
        return [
            [name, *point, path.stat().st_size, *figures] for point, figures in found.items() if figures not in refused
        ]


def _figures(path: Path, point: Point) -> tuple[float | None, ...] | str:
    """As `dry_run`; nothing where the server refuses a cache of this type for the model, else its reason."""
    try:
        return dry_run(path, *point)
    except CannotLoad as reason:
        return (None,) * 4 if "cache" in str(reason) else str(reason)


def dry_run(path: Path, *point: Any) -> tuple[float, float, float, float]:
    """The server's dry-run figures in MiB: weights (whole ones), cache, state, compute. Raises CannotLoad."""
    command = [sys.executable, "-c", _SERVER, str(path), *(str(int(p) if isinstance(p, bool) else p) for p in point)]
    found: dict[str, float] = dict.fromkeys(_NUMBERS, 0.0)
    log = []
    weights = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            log.append(line)
            for key, pattern in _NUMBERS.items():
                if match := pattern.search(line):
                    found[key] += float(match[1])
            if match := _BREAKDOWN.search(line):
                weights += int(match[1])
            elif weights:
                break
        server.kill()
    if weights:
        return weights, round(found["kv"], 2), round(found["state"], 2), round(found["compute"] + found["output"], 2)
    reasons = [next(filter(None, match.groups())) for line in log if (match := _REASON.search(line))]
    if not reasons:
        raise SystemExit(f"no dry run was seen for {path} with {point}:\n{''.join(log[-20:])}")
    raise CannotLoad(reasons[0].strip())


if __name__ == "__main__":
    main()
