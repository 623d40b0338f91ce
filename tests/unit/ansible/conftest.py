"""Makes `plugins.module_utils` and `plugins.modules` importable, as they are inside a module that Ansible ships."""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[3])
if _ROOT not in sys.path:
    sys.path.append(_ROOT)
