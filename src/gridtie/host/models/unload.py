"""Takes out of the engine's memory what the station no longer declares, so that it takes no room from what it does.

Ollama keeps a model for half an hour after its last answer. Only models that the station installed are unloaded: what
a person loaded by another name is theirs. The embedded engine ends the servers of models that leave its list by itself.
"""

from __future__ import annotations

from typing import Mapping

from ..router import Unreachable, send

# An engine that is busy answers these at once: it only notes that a model may go.
_ANSWER_S = 10.0


def unload(url: str, undeclared: Mapping[str, str]) -> list[str]:
    """Have the Ollama at `url` let go of the models of these names and digests; the names that it held.

    Raises Unreachable.
    """
    loaded = send("GET", f"{url}/api/ps", timeout=_ANSWER_S).json()
    models = loaded.get("models") if isinstance(loaded, dict) else None
    held = []
    for model in models if isinstance(models, list) else []:
        name = str(model.get("name"))
        # Somebody else's by now, where the digest is another one.
        if undeclared.get(name) == f"sha256:{model.get('digest')}":
            answer = send("POST", f"{url}/api/generate", body={"model": name, "keep_alive": 0}, timeout=_ANSWER_S)
            if answer.status != 200:
                raise Unreachable(f"{name} stays in memory: the engine answers {answer.status}")
            held.append(name)
    return held
