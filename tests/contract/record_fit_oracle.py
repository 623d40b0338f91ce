"""Records what llama.cpp's own server says it would reserve, for every shape of the catalogue.

    python -m venv /tmp/oracle && /tmp/oracle/bin/pip install xllamacpp==2026.8.10566 gguf pyyaml
    PYTHONPATH=src:tests /tmp/oracle/bin/python tests/contract/record_fit_oracle.py

Recipe: write a header-only GGUF of the true shape (`standins.shape_gguf`), start the server on it with `fit_params` and
a verbose log, read its dry run ("fitting params to device memory", nothing allocated), and stop it before it loads the
model for real. The dry run of the server is the reference for servers: `llama-fit-params` of the same build reserves
logits for every token of a batch, which a server does not.

The record lies beside this file, one for each version of the tool; `test_fit_oracle.py` holds the formula against all:
2026.8.10566 is the build that stations run (config/artefacts.yaml), 2026.10.11549 a later one, which reserves a little
more and which the formula follows exactly.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gridtie.catalogue import Shape, load
from standins import shape_gguf

HERE = Path(__file__).parent
CATALOGUE = HERE.parents[1] / "config" / "models.yaml"

# context, parallel, KV type, flash attention, ubatch. Ollama's and llama-server's batches, a context that is not a
# multiple of 256, several sequences; a quantised cache needs flash attention.
POINTS = [
    (2048, 1, "f16", True, 512),
    (2048, 2, "f16", True, 512),
    (5000, 1, "f16", True, 1024),
    (8192, 1, "f16", True, 512),
    (8192, 1, "f16", True, 1024),
    (8192, 1, "q8_0", True, 1024),
    (8192, 1, "q4_0", True, 1024),
    (8192, 4, "f16", True, 1024),
    (32768, 1, "f16", True, 1024),
    (32768, 2, "f16", True, 2048),
    (2048, 1, "f16", False, 512),
    (8192, 1, "f16", False, 1024),
    (8192, 2, "f16", False, 1024),
    (32768, 1, "f16", False, 1024),
]

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
    points = []
    for name, shape in shapes():
        if arguments.only in (None, name):
            print(name, file=sys.stderr, flush=True)
            points += list(record(name, shape))
    version = importlib.metadata.version("xllamacpp")
    document = {
        "tool": "xllamacpp",
        "version": version,
        "recipe": "tests/contract/record_fit_oracle.py",
        "unit": "MiB",
        "points": points,
    }
    text = json.dumps(document, indent=None).replace('{"model"', '\n{"model"') + "\n"
    if arguments.only:
        print(text)
    else:
        (HERE / f"fit_oracle-{version}.json").write_text(text, encoding="utf-8")


def shapes() -> Iterator[tuple[str, Shape]]:
    """Every predictable shape of the catalogue, and the one with compressed attention in both its forms."""
    for model in load(CATALOGUE).models.values():
        if model.hybrid:
            continue
        yield model.name, model.shape
        if model.shape.architecture == "deepseek2":
            yield f"{model.name}+mla", dataclasses.replace(model.shape, mla_cache=True)


def record(name: str, shape: Shape) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="gridtie-oracle-") as folder:
        path = Path(folder) / "shape.gguf"
        shape_gguf.write(path, shape)
        for context, parallel, kv, flash, ubatch in POINTS:
            if context <= shape.context_length:
                yield {
                    "model": name,
                    "context": context,
                    "parallel": parallel,
                    "kv_type": kv,
                    "flash_attention": flash,
                    "ubatch": ubatch,
                    "file": path.stat().st_size,
                    **dry_run(path, context, parallel, kv, flash, ubatch),
                }


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
