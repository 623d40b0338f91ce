"""Who holds a port, where the router shares the machine's own network and publishes nothing."""

from __future__ import annotations

import pytest
from plugins.modules.gridtie_preflight import container_of

INSPECTED = "4711\t/gridtie-router-1\tgridtie\n815\t/exporter\t\n816\t/stripped"


@pytest.mark.parametrize(
    ("process", "container"),
    [
        (4711, {"container": "gridtie-router-1", "project": "gridtie"}),
        (815, {"container": "exporter", "project": ""}),
        (816, {"container": "stripped", "project": ""}),
        (47, {}),
        (0, {}),
    ],
    ids=[
        "a station's router",
        "a container of no project",
        "the last line without its end",
        "another process",
        "nobody",
    ],
)
def test_a_container_on_the_machines_network_is_known_by_its_main_process(
    process: int, container: dict[str, str]
) -> None:
    assert container_of(process, INSPECTED) == container


def test_without_such_containers_there_is_none() -> None:
    assert container_of(4711, "") == {}
