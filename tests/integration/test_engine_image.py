"""The engine images: what is in them, what is not, and the launcher against the real library."""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins.module_utils import gridtie_image_plan as plan
from plugins.module_utils import gridtie_images as images
from plugins.module_utils import gridtie_sources
from plugins.module_utils.gridtie_machine import parse_os_release, read_text
from plugins.plugin_utils.gridtie_image_tree import read_tree
from python_on_whales import docker
from python_on_whales.exceptions import DockerException

from integration.station import Station
from standins.package_index import package_index

ROOT = Path(__file__).resolve().parents[2]

CANARY = "canary-d1f5c0"
LAUNCHER = "/opt/gridtie-engine/bin/llama-server"
# Values that differ from llama.cpp's own defaults, so that a flag which is dropped shows.
FLAGS = (
    "--model /models/m.gguf --alias gridtie/m:1b --host 0.0.0.0 --port 40123 -c 8192 -np 3 -b 1024 -ub 256 -t 5 -ngl 7 "
    "--split-mode none --main-gpu 2 --flash-attn on --cache-type-k q8_0 --cache-type-v q4_0 --cache-ram 99 "
    "--load-mode none --context-shift --keep 4 --embedding --metrics --no-webui --offline --no-jinja "
    "--chat-template chatml --mmproj /models/p --no-mmproj-offload --image-min-tokens 1024 --lora /models/l "
    "--spec-type draft-mtp --spec-draft-n-max 4 --spec-draft-backend-sampling --spec-draft-model /models/d "
    "--log-verbosity 4 --fit off --fit-target 512"
)
READ = """
import json, sys
sys.path.insert(0, "/opt/gridtie-engine/lib")
from gridtie_engine.flags import parse
from gridtie_engine.llama_server import server_params
p = server_params(parse(sys.argv[1:], {}))
d = p.speculative.draft
print(json.dumps([
    p.model.path, sorted(p.model_alias), p.hostname, p.port, p.n_ctx, p.n_parallel, p.n_batch, p.n_ubatch,
    p.cpuparams.n_threads, p.cpuparams_batch.n_threads, p.n_gpu_layers, p.split_mode.name, p.main_gpu,
    p.flash_attn_type.name, p.cache_type_k.name, p.cache_type_v.name, p.cache_ram_mib, p.load_mode.name,
    p.ctx_shift, p.n_keep, p.embedding, p.endpoint_metrics, p.ui, p.offline, p.use_jinja, p.chat_template,
    p.mmproj.path, p.mmproj_use_gpu, p.image_min_tokens, [each.path for each in p.lora_adapters],
    [each.name for each in p.speculative.types], d.n_max, d.backend_sampling, d.mparams.path, p.verbosity,
    p.fit_params, p.fit_params_target[0],
]))
"""


def run(image: str, *words: str, entrypoint: str = LAUNCHER) -> subprocess.CompletedProcess[str]:
    """A program of the image, in a container as hard as the station's."""
    hardened = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none"]
    command = ["docker", "run", "--rm", *hardened, "--entrypoint", entrypoint, image, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def image(station: Station) -> str:
    """The image that the station's Ollama runs from."""
    return str(station.facts["engine"]["image"])


def test_every_flag_reaches_the_library(image: str) -> None:
    done = run(image, "-c", READ, *FLAGS.split(), entrypoint="python3")

    assert json.loads(done.stdout or done.stderr) == [
        "/models/m.gguf", ["gridtie/m:1b"], "0.0.0.0", 40123, 8192, 3, 1024, 256,
        5, 5, 7, "LLAMA_SPLIT_MODE_NONE", 2,
        "LLAMA_FLASH_ATTN_TYPE_ENABLED", "GGML_TYPE_Q8_0", "GGML_TYPE_Q4_0", 99, "LLAMA_LOAD_MODE_NONE",
        True, 4, True, True, False, True, False, "chatml",
        "/models/p", False, 1024, ["/models/l"],
        ["COMMON_SPECULATIVE_TYPE_DRAFT_MTP"], 4, True, "/models/d", 4,
        False, 512 * 1024**2,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--model", "m", "--moe-offload", "3"], "--moe-offload"),
        (["--model", "m", "--cache-type-k", "q7_0"], "q7_0"),
    ],
)
def test_what_the_launcher_does_not_know_ends_it_and_is_named(image: str, words: list[str], named: str) -> None:
    done = run(image, *words)

    assert done.returncode != 0
    assert named in done.stderr


def test_a_model_that_cannot_be_loaded_ends_it(image: str) -> None:
    done = run(image, "--model", "/models/none.gguf")

    assert done.returncode == 1
    assert "/models/none.gguf" in done.stderr


def test_ollamas_discovery_finds_the_processor_and_no_other_device(image: str) -> None:
    done = run(image, "--list-devices", "--offline", "--verbose")

    assert (done.returncode, done.stdout) == (0, "Available devices:\n")


def test_ollama_accepted_the_launcher_at_its_start(station: Station) -> None:
    log = str(docker.logs(station.engine))

    assert "system_info line not found" not in log
    assert "inference compute" in log


def test_the_engine_cannot_change_the_models_nor_leave_its_network(station: Station) -> None:
    networks = docker.container.inspect(station.engine).network_settings.networks

    with pytest.raises(DockerException, match="Read-only file system"):
        docker.execute(station.engine, ["touch", "/models/x"])
    assert {name: docker.network.inspect(name).internal for name in networks} == {f"{station.project}_engine": True}


def test_an_engine_that_is_told_to_stop_does_so_at_once(embedded_station: Station) -> None:
    started = time.monotonic()
    with embedded_station.engine_stopped():
        stopped = time.monotonic() - started

    assert not docker.container.inspect(embedded_station.engine).state.oom_killed
    assert stopped < 10


@dataclass(frozen=True)
class Built:
    """An image, what its build printed, and how often the package index gave out its wheel."""

    reference: str
    printed: str
    served: int


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """A fresh build of the embedded engine whose package sources want a password.

    llama.cpp's server is an empty package here: it is the way that is looked at, not what comes along it.
    """
    directory = tmp_path_factory.mktemp("canary")
    indexes = [
        index._replace(site=index.site.replace("://", f"://user:{CANARY}@")) for index in gridtie_sources.apt_indexes()
    ]
    lines: list[str] = []
    with package_index("xllamacpp", "1", CANARY) as index, pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "apt_indexes", lambda: indexes)
        patch.setattr(images, "_tell", lambda name, line: lines.append(line))
        step = _canary_step(index.sha256, directory.name.lower())
        context = directory / "context.tar.gz"
        context.write_bytes(plan.archive(step["files"]))
        builder = images.Images(_docker(), _bundle(), {"PIP_INDEX_URL": index.url, "PIP_EXTRA_INDEX_URL": ""})
        builder.build(step, str(context), [])
        served = index.served
    try:
        yield Built(step["reference"], "\n".join(lines), served)
    finally:
        docker.image.remove(step["reference"], force=True)


def _canary_step(sha256: str, prefix: str) -> dict[str, Any]:
    tree = read_tree(ROOT)
    # Unlike any file before, so that the layers are made anew and not taken from the cache.
    tree["compose/images/apt-install"] += f"\n# {uuid.uuid4()}\n".encode()
    artefacts = yaml.safe_load((ROOT / "config/artefacts.yaml").read_text())
    artefacts["wheels"]["xllamacpp"].update(version="1", sha256={"any": sha256})
    host = {"system": parse_os_release(read_text("/etc/os-release"))["id"], "architecture": platform.machine()}
    _, step = plan.steps(tree, artefacts, "engine-embedded", host, {"prefix": prefix, "base": "packages"})
    # The base is one that is here already.
    step["arguments"]["BASE"] = docker.image.list(plan.BASE_REPOSITORY)[0].repo_tags[0]
    return step


def _docker() -> dict[str, str]:
    return {
        "cli": str(shutil.which("docker")),
        "host": docker.context.inspect().endpoints["docker"].host,
    }


def _bundle() -> str:
    named = (os.environ.get(name) for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"))
    return next(filter(None, named), "/etc/ssl/certs/ca-certificates.crt")


def contents(reference: str) -> Iterator[tuple[str, bytes]]:
    """Every file of an image with what is in it, of every layer, and the image's own description and history."""
    # The library has no call for it.
    asked = ["docker", "history", "--no-trunc", reference]
    yield "history", subprocess.run(asked, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as scratch:
        # As a stream the library leaves a pipe open.
        docker.image.save(reference, output=(saved := Path(scratch) / "image.tar"))
        with tarfile.open(saved) as outer:
            for member in outer:
                file = outer.extractfile(member)
                content = file.read() if file else b""
                content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
                # Layers are uncompressed tars then: what a file holds is in their bytes.
                yield member.name, content


def test_no_address_of_a_package_source_stays_in_an_image_or_a_log(built: Built) -> None:
    """The password was used, or the index would have refused."""
    files = list(contents(built.reference))
    found = [name for name, content in files if CANARY.encode() in content]

    assert (built.served, found) == (1, [])
    assert any(b"The embedded engine" in content for _, content in files), "what files hold is looked at"
    assert CANARY not in built.printed


def test_the_hosts_certificates_and_pips_settings_are_not_in_the_image(built: Built) -> None:
    done = run(built.reference, "-c", "ls -A /run/secrets /etc/pip.conf 2>/dev/null", entrypoint="sh")

    assert done.stdout.replace("/run/secrets:", "").strip() == ""
