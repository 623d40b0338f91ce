"""Models of Hugging Face: `hf.co/owner/repository:quantisation`, turned into the address of one file.

The Hub's own interface lists a repository's files (https://huggingface.co/docs/hub/api), each of which is behind
`/resolve/REVISION/FILE`. HF_ENDPOINT names a mirror, as it does for Hugging Face's own programs.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from ..paths import StationError
from .download import Fetcher, FetchError
from .sources import ObtainError

ENDPOINT = "https://huggingface.co"

_SITES = r"(?:https?://)?(?:www\.)?(?:hf\.co|huggingface\.co)"
_REPOSITORY = re.compile(rf"{_SITES}/([\w.-]+/[\w.-]+?)(?::([\w.-]+))?/?", re.ASCII)
# A page of one file, as a browser shows it, and the file itself.
_PAGE = re.compile(rf"{_SITES}/([\w.-]+/[\w.-]+)/(?:blob|resolve)/([^/]+)/([^?#]+)(?:[?#].*)?", re.ASCII)
# What the Hub and llama.cpp take where nobody says which.
_USUAL = "Q4_K_M"
_PART = re.compile(r"-\d{5}-of-\d{5}$")
_QUANTISATION = re.compile(r"(?:^|[-_./])((?:I?Q|TQ)\d\w*|BF16|F16|F32|MXFP4\w*|NVFP4)$", re.IGNORECASE)
# Of a long list of files.
_SHOWN = 12


@dataclass(frozen=True)
class HubFile:
    """One file of a repository: where it is, its length and its sha256, 0 and "" where the Hub does not say them."""

    repository: str
    url: str
    bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Listed:
    """A file as the Hub lists it: its length, 0 where it is not said; its sha256 where it is a large one, else git's
    own id of its content.
    """

    bytes: int = 0
    sha256: str = ""
    blob: str = ""


@dataclass(frozen=True)
class Repository:
    """A repository at one commit, with its files by their names."""

    name: str
    base: str
    files: Mapping[str, Listed]

    def url(self, file: str) -> str:
        """Where one of its files is."""
        return f"{self.base}/{urllib.parse.quote(file)}"


def is_hub_name(text: str) -> bool:
    """Whether it names something of Hugging Face."""
    return re.match(rf"{_SITES}/", text) is not None


def find_file(text: str, fetcher: Fetcher, endpoint: str = "") -> HubFile:
    """The file that `hf.co/owner/repository[:quantisation]`, or the address of a file's page, means.

    Raises ObtainError and FetchError.
    """
    base = (endpoint or ENDPOINT).rstrip("/")
    if page := _PAGE.fullmatch(text):
        repository, revision, path = page.groups()
        return HubFile(repository, f"{base}/{repository}/resolve/{revision}/{path}")
    named = _REPOSITORY.fullmatch(text)
    if named is None:
        raise ObtainError(f"{text!r:.120} is no model of Hugging Face; wanted: hf.co/OWNER/REPOSITORY:QUANTISATION")
    repository, wanted = named.groups()
    document = _listing(f"{base}/api/models/{repository}", repository, fetcher)
    listed = document["siblings"]
    files = {name: file for name, file in listed.items() if _is_model(name)}
    if not files and any(name.endswith(".safetensors") for name in listed):
        raise ObtainError(
            f"{repository} has no GGUF file but safetensors, which vLLM takes (--engine vllm); for the other engines "
            "look for a repository whose name ends in GGUF"
        )
    name = _chosen(repository, list(files), wanted)
    large = files[name].get("lfs")
    return HubFile(
        repository,
        f"{_resolved(base, repository, document)}/{urllib.parse.quote(name)}",
        _count(files[name].get("size")),
        str(large.get("sha256") or "") if isinstance(large, dict) else "",
    )


def find_repository(text: str, fetcher: Fetcher, endpoint: str = "", revision: str = "") -> Repository:
    """The repository that `hf.co/owner/repository` means, with its files, at a commit or as it is now. Raises
    ObtainError and FetchError.
    """
    base = (endpoint or ENDPOINT).rstrip("/")
    named = _REPOSITORY.fullmatch(text)
    if named is None or named[2]:
        raise ObtainError(f"{text!r:.120} is no checkpoint of Hugging Face; wanted: hf.co/OWNER/REPOSITORY")
    repository = named[1]
    at = f"/revision/{revision}" if revision else ""
    document = _listing(f"{base}/api/models/{repository}{at}", repository, fetcher)
    if revision and document.get("sha") != revision:
        raise ObtainError(f"Hugging Face lists {repository} at {document.get('sha')!r:.60}, and not at {revision}")
    files = {name: _listed(file) for name, file in document["siblings"].items()}
    return Repository(repository, _resolved(base, repository, document), files)


def _listed(file: Mapping[str, Any]) -> Listed:
    large = file.get("lfs")
    sha256 = str(large.get("sha256") or "") if isinstance(large, dict) else ""
    return Listed(_count(file.get("size")), sha256, "" if sha256 else str(file.get("blobId") or ""))


def explained(error: FetchError, repository: str, token: bool, setting: str = "--token-file FILE") -> str:
    """What the Hub's refusal means, as one sentence; "" where it is another failure. `setting` is where whoever reads
    it names a token.
    """
    give = f"a token that may read it ({setting})"
    page = f"{ENDPOINT}/{repository}"
    if error.code == "GatedRepo" or error.status == 403:
        return f"{repository} is gated: accept its terms at {page} and give {give}"
    if error.code == "EntryNotFound":
        return f"{repository} has no such file; {page} lists what it has"
    if error.code == "RevisionNotFound":
        return f"{repository} has no such revision; {page} lists what it has"
    if error.status in (401, 404):
        # The Hub answers the same for both, so that nobody learns of what is private.
        known = "the token does not let it be read" if token else f"it is private, which takes {give}"
        return f"Hugging Face has no {repository}, or {known}"
    return ""


def read_token(path: Optional[Path]) -> str:
    """The token in a file; "" where none is named. Raises StationError, which shows nothing of it."""
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise StationError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    if not re.fullmatch(r"[\x21-\x7e]{1,500}", text):
        raise StationError(f"{path} holds no token; wanted is one line with one, as Hugging Face gives it")
    return text


def _resolved(base: str, repository: str, document: Mapping[str, Any]) -> str:
    """What the files of the listed commit lie below."""
    return f"{base}/{repository}/resolve/{document.get('sha') or 'main'}"


def _listing(url: str, repository: str, fetcher: Fetcher) -> dict[str, Any]:
    """What the Hub says of a repository; `siblings` are its files by name."""
    content = fetcher.read(f"{url}?blobs=true", accept="application/json", most=16 << 20)
    try:
        document = dict(json.loads(content))
        document["siblings"] = {str(file["rfilename"]): dict(file) for file in document["siblings"]}
    except (ValueError, KeyError, TypeError):
        raise ObtainError(f"Hugging Face's list of the files of {repository} cannot be read") from None
    return document


def _is_model(name: str) -> bool:
    """A projector for pictures is no model of its own."""
    return name.lower().endswith(".gguf") and not name.rpartition("/")[2].lower().startswith("mmproj")


def _chosen(repository: str, files: Sequence[str], wanted: Optional[str]) -> str:
    if not files:
        raise ObtainError(f"{repository} has no GGUF file; look for a repository whose name ends in GGUF")
    whole = [name for name in files if not _PART.search(_stem(name))]
    for tag in [wanted] if wanted and wanted != "latest" else [_USUAL]:
        found = [name for name in files if _is(name, tag)]
        if len(found) == 1 and found[0] in whole:
            return found[0]
        if found and not set(found) & set(whole):
            raise ObtainError(
                f"{repository} has {tag} in {len(found)} parts, which no engine of a station takes; choose another of "
                f"{_tags(whole)}, or join them (llama-gguf-split --merge) and name the file"
            )
        if len(found) > 1:
            raise ObtainError(f"{repository} has several files for {tag}: {_some(found)}; name one by its whole name")
    if not wanted and len(whole) == 1:
        return whole[0]
    asked = f"no {wanted}" if wanted else f"no {_USUAL}, and several others"
    raise ObtainError(f"{repository} has {asked}; name one of {_tags(whole)}, as hf.co/{repository}:NAME")


def _stem(name: str) -> str:
    return name.rpartition("/")[2][: -len(".gguf")]


def _is(name: str, tag: str) -> bool:
    """Whether a file is the one that a tag means: its whole name, or what it ends in."""
    stem, tag = _PART.sub("", _stem(name)).lower(), tag.lower()
    if tag in (stem, f"{stem}.gguf"):
        return True
    return stem.endswith(tag) and stem[-len(tag) - 1] in "-_."


def _tags(files: Sequence[str]) -> str:
    found = [_QUANTISATION.search(_stem(name)) for name in files]
    return _some(sorted({match[1].upper() if match else _stem(name) for match, name in zip(found, files)}))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
