"""Keeps config/artefacts.yaml: which versions of Ollama are pinned, and the checksums and digests that prove them."""

from gridtie.artefacts.document import read
from gridtie.artefacts.edit import EditError
from gridtie.artefacts.update import ArtefactsError, Offer, updated
from gridtie.artefacts.upstream import archive_sums, image_digest

__all__ = ["ArtefactsError", "EditError", "Offer", "archive_sums", "image_digest", "read", "updated"]
