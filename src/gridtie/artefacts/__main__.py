"""Pin a version of Ollama: `make artefacts VERSION=0.32.15`, or `python -m gridtie.artefacts 0.32.15`.

Of upstream's release: reads its list of sums (or a mirror's) and the digests of the container images. Of what is
compiled: has Go write the module of that version, and looks for the wheel whose llama.cpp is nearest to it. Both, or
`--only` one of them. config/artefacts.yaml keeps its comments. Nothing is written unless all of it was found.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import yaml

from gridtie.artefacts.module import module_of
from gridtie.artefacts.update import (
    ArtefactsError,
    Offer,
    Packages,
    check_version,
    compiled,
    packages_of,
    references,
    updated,
)
from gridtie.artefacts.upstream import archive_sums, image_digest
from gridtie.artefacts.wheel import wheel_for
from gridtie.host.commands.former_options import add_former_options

_ROOT = Path(__file__).resolve().parents[3]
# Where Ollama comes from, as gridtie_ollama_source has it.
RELEASE, PACKAGES = "release", "packages"


def main(argv: list[str] | None = None) -> int:
    args = _arguments().parse_args(argv)
    file: Path = args.file
    text = file.read_text(encoding="utf-8")
    changed = text
    try:
        if args.only != PACKAGES:
            changed = _released(changed, args)
        if args.only != RELEASE:
            changed = _compiled(changed, args)
    except ArtefactsError as error:
        sys.stderr.write(f"{error}\nNothing was changed.\n")
        return 1
    ollama = yaml.safe_load(changed)["ollama"]
    version = ollama["packages"]["version"] if args.only == PACKAGES else ollama["version"]
    if changed == text:
        sys.stdout.write(f"{file}: Ollama {version}, unchanged\n")
        return 0
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.write_text(changed, encoding="utf-8")
    scratch.chmod(file.stat().st_mode)
    scratch.replace(file)
    sys.stdout.write(f"{file}: Ollama {version}, written\n")
    return 0


def _released(text: str, args: argparse.Namespace) -> str:
    """The text with the version's release, as upstream has it."""
    document = yaml.safe_load(text)
    version = args.version or document["ollama"]["version"]
    sums = archive_sums(version, args.mirror)
    wanted = {} if args.no_images else references(document, version)
    images = {name: image_digest(reference, args.registry) for name, reference in wanted.items()}
    return updated(text, Offer(version, sums, images), replace=args.replace, partial=args.partial)


def _compiled(text: str, args: argparse.Namespace) -> str:
    """The text with what is compiled, after the Go module of that version was written."""
    version = args.version or packages_of(text)["version"]
    check_version(version)
    with module_of(args.module, version) as llama_cpp:
        return compiled(text, Packages(version, llama_cpp, wheel_for(llama_cpp)))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gridtie.artefacts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", nargs="?", help="such as 0.32.15; without it, the pinned one is completed")
    parser.add_argument("--only", choices=(RELEASE, PACKAGES), help="upstream's release alone, or what is compiled")
    parser.add_argument("--from", dest="mirror", default="", metavar="URL", help="a mirror instead of upstream")
    parser.add_argument("--registry", default="", metavar="URL", help="a registry instead of those that are named")
    parser.add_argument("--replace", action="store_true", help="let other sums take the place of recorded ones")
    parser.add_argument("--partial", action="store_true", help="the source need not have every archive")
    parser.add_argument("--no-images", action="store_true", help="leave the digests of images as they are")
    add_former_options(parser, {"--no-module": ("--only", RELEASE)}, since="1.1.0")
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
