"""Upstream's image: pulled by digest, from a stand-in registry by the real Docker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from plugins.module_utils.gridtie_apt import Apt
from plugins.module_utils.gridtie_images import not_reached
from plugins.module_utils.gridtie_pins import PinError, UnpinnedError
from plugins.modules.gridtie_image import CommandError, Maker
from python_on_whales import Image, docker

from standins.registry import Registry, registry

REFERENCE = "docker.io/gridtie-standin/ollama:1"


@pytest.fixture
def upstream() -> Iterator[Registry]:
    """A registry with the image; what Docker pulled from it is removed afterwards."""
    with registry() as server:
        server.push("gridtie-standin/ollama", "1", b"first")
        yield server
        for image in {image.id for image in pulled(server)}:
            docker.image.remove(image, force=True)


def pulled(server: Registry) -> list[Image]:
    return docker.image.list(f"{server.address}/gridtie-standin/ollama")


def maker(learned: dict[str, str] | None = None, *, learn: bool = True) -> Maker:
    cli, host = shutil.which("docker"), docker.context.inspect().endpoints["docker"].host
    return Maker(
        {
            "docker": {"cli": cli, "host": host}, "ca_bundle": "", "contexts": {},
            "learned": learned or {}, "learn": learn, "package_settings": {}, "package_addresses": {},
        },
        Apt(),
    )  # fmt: skip


def step(server: Registry, digest: str | None = None) -> dict[str, Any]:
    return {
        "name": "engine-ollama", "kind": "pull", "reference": REFERENCE, "digest": digest,
        "pull_from": f"{server.address}/gridtie-standin/ollama:1",
    }  # fmt: skip


def learned_by(first: Maker, image: dict[str, Any]) -> dict[str, str]:
    """What it pulls where nobody knows the digest yet."""
    with pytest.raises(UnpinnedError):
        first.ensure(image)
    return first.learned


def test_the_first_use_tells_the_digest_and_with_it_the_image_is_found(upstream: Registry) -> None:
    learned = learned_by(maker(), step(upstream))

    image, seconds = maker(learned).ensure(step(upstream))
    assert image == f"{upstream.address}/gridtie-standin/ollama@{learned[REFERENCE]}"
    assert seconds == 0.0


def test_a_tag_that_moved_upstream_is_refused_and_is_no_reason_for_another_source(upstream: Registry) -> None:
    learned = learned_by(maker(), step(upstream))
    image, _ = maker(learned).ensure(step(upstream))
    docker.image.remove(docker.image.inspect(image).id, force=True)
    upstream.push("gridtie-standin/ollama", "1", b"second")

    with pytest.raises(CommandError) as caught:
        maker(learned).ensure(step(upstream))

    assert not not_reached(caught.value.output)


def test_a_server_error_is_no_reason_for_another_source(upstream: Registry) -> None:
    upstream.broken = 503

    with pytest.raises(CommandError) as caught:
        maker().ensure(step(upstream))

    assert not not_reached(caught.value.output)


def test_a_registry_that_cannot_be_connected_to_is() -> None:
    with registry() as server:
        gone = step(server)

    with pytest.raises(CommandError) as caught:
        maker().ensure(gone)

    assert not_reached(caught.value.output)


def test_where_pins_are_required_nothing_is_pulled_without_one(upstream: Registry) -> None:
    with pytest.raises(PinError):
        maker(learn=False).ensure(step(upstream))

    assert pulled(upstream) == []
