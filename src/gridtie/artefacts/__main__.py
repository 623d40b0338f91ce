"""Pin a version of Ollama: `make artefacts VERSION=0.32.15`, or `python -m gridtie.artefacts 0.32.15`.

Reads upstream's list of sums (or a mirror's), the digests of the container images, and has Go write the module that
compiles the same version. config/artefacts.yaml keeps its comments. Nothing is written unless all of it was found.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import yaml

from gridtie.artefacts.module import set_version
from gridtie.artefacts.update import ArtefactsError, Offer, references, updated
from gridtie.artefacts.upstream import archive_sums, image_digest

_ROOT = Path(__file__).resolve().parents[3]


def main(argv: list[str] | None = None) -> int:
    args = _arguments().parse_args(argv)
    file: Path = args.file
    text = file.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    version = args.version or document["ollama"]["version"]
    try:
        sums = archive_sums(version, args.source)
        wanted = {} if args.no_images else references(document, version)
        images = {name: image_digest(reference, args.registry) for name, reference in wanted.items()}
        offer = Offer(version, sums, images)
        updated(text, offer, replace=args.replace, partial=args.partial)  # All objections, before Go changes a file.
        llama_cpp = "" if args.no_module else set_version(args.module, version)
        changed = updated(text, Offer(version, sums, images, llama_cpp), replace=args.replace, partial=args.partial)
    except ArtefactsError as error:
        sys.stderr.write(f"{error}\nNothing was changed.\n")
        return 1
    if changed == text:
        sys.stdout.write(f"{file}: Ollama {version}, unchanged\n")
        return 0
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.write_text(changed, encoding="utf-8")
    scratch.chmod(file.stat().st_mode)
    scratch.replace(file)
    sys.stdout.write(f"{file}: Ollama {version}, written\n")
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gridtie.artefacts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", nargs="?", help="such as 0.32.15; without it, the pinned one is completed")
    parser.add_argument("--from", dest="source", default="", metavar="URL", help="a mirror instead of upstream")
    parser.add_argument("--registry", default="", metavar="URL", help="a registry instead of those that are named")
    parser.add_argument("--replace", action="store_true", help="let other sums take the place of recorded ones")
    parser.add_argument("--partial", action="store_true", help="the source need not have every archive")
    parser.add_argument("--no-images", action="store_true", help="leave the digests of images as they are")
    parser.add_argument("--no-module", action="store_true", help="leave the Go module as it is")
    parser.add_argument(
        "--file",
        type=Path,
        default=_ROOT / "config/artefacts.yaml",
        metavar="PATH",
        help="a copy of your own, as gridtie_artefacts_file names it",
    )
    parser.add_argument("--module", type=Path, default=_ROOT / "compose/images/engine/ollama", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
