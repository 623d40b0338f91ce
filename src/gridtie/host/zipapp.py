"""Pack `gridtie.host` as one executable file: `python -m gridtie.host.zipapp OUT`.

The bytes depend on the sources alone (sorted names, fixed dates and modes, stored and not compressed, since
compressors differ between machines), so that a second run changes nothing.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import zipfile
from pathlib import Path

_INTERPRETER = b"#!/usr/bin/env python3\n"
_MAIN = "import sys\n\nfrom gridtie.host.cli import main\n\nsys.exit(main())\n"
# The oldest date a zip file can hold.
_DATE = (1980, 1, 1, 0, 0, 0)


def pack(host: Path) -> bytes:
    """The zipapp of the package directory `host`."""
    content = {"__main__.py": _MAIN.encode(), "gridtie/__init__.py": b""}
    for path in sorted(host.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content[f"gridtie/host/{path.relative_to(host).as_posix()}"] = path.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content[name])
    return _INTERPRETER + packed.getvalue()


def write(out: Path, data: bytes) -> bool:
    """Put `data` at `out`, executable and at once; False if it was there already."""
    if out.is_file() and out.read_bytes() == data and os.access(out, os.X_OK):
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    fd, scratch = tempfile.mkstemp(dir=out.parent, prefix=out.name)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), 0o755)
    Path(scratch).replace(out)
    return True


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m gridtie.host.zipapp OUT\n")
        return 2
    out = Path(sys.argv[1])
    changed = write(out, pack(Path(__file__).parent))
    sys.stdout.write(f"{out}: {'written' if changed else 'unchanged'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
