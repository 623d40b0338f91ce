"""python3 -m gridtie_vllm_router serve [vllm-router's arguments] | router [the same] | health | version

`serve` runs vllm-router and keeps its servers those of the file; `router` is vllm-router alone.
"""

from __future__ import annotations

import sys
from urllib import request

from gridtie_vllm_router import supervisor

URL = f"http://127.0.0.1:{supervisor.PORT}"


def main(words: list[str]) -> int:
    """Exit status."""
    command, arguments = (words[0], words[1:]) if words else ("", [])
    if command == "serve":
        return supervisor.serve(arguments)
    if command == "router":
        supervisor.run_router(arguments)
        return 0
    if command == "health":
        with request.build_opener(request.ProxyHandler({})).open(f"{URL}/liveness", timeout=5):
            return 0
    if command == "version":
        from vllm_router.version import __version__

        sys.stdout.write(f"{__version__}\n")
        return 0
    sys.stderr.write(__doc__ or "")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
