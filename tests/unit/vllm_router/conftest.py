"""Makes the package of vllm-router's image importable."""

from __future__ import annotations

import sys
from pathlib import Path

_IMAGE = str(Path(__file__).resolve().parents[3] / "compose/images/vllm-router")
if _IMAGE not in sys.path:
    sys.path.append(_IMAGE)
