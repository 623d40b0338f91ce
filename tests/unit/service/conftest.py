"""Makes the service image's own package importable."""

from __future__ import annotations

import sys
from pathlib import Path

_IMAGE = str(Path(__file__).resolve().parents[3] / "compose/images/service")
if _IMAGE not in sys.path:
    sys.path.append(_IMAGE)
