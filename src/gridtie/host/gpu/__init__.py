"""Graphics cards: what is there, whether the engine would use it, what is missing, and the commands that help.

`read_survey(root)` reads; everything else is pure. Nothing here runs a program or changes anything.
"""

from .card import CUDA, DISCRETE, INTEGRATED, MANAGEMENT, ROCM, VIRTUAL, VULKAN, Graphics
from .needs import Need, Verdict, verdict
from .survey import Survey, read_survey

__all__ = [
    "CUDA",
    "DISCRETE",
    "INTEGRATED",
    "MANAGEMENT",
    "ROCM",
    "VIRTUAL",
    "VULKAN",
    "Graphics",
    "Need",
    "Survey",
    "Verdict",
    "read_survey",
    "verdict",
]
