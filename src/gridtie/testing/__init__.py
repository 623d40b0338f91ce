"""A pytest plugin: `gridtie`, an endpoint with a small real model behind it, for tests of what asks a model.

    # conftest.py, the uppermost one
    pytest_plugins = ["gridtie.testing"]

    def test_the_reviewer_answers(gridtie):
        client = OpenAI(base_url=gridtie.base_url, api_key=gridtie.key)

It is asked for by name and does not load itself, since `gridtie` is also installed where nobody wants a fixture of it.
docs/ci.md has the variables that it reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gridtie.testing.container import NoDockerError, running
from gridtie.testing.endpoint import Endpoint, EndpointError, named

__all__ = ["Endpoint", "gridtie"]


@pytest.fixture(scope="session")
def gridtie() -> Iterator[Endpoint]:
    """The endpoint that the environment names, else the service image, started for this session.

    Where there is neither, tests fail in CI (the variable CI, which pipelines set) and are skipped elsewhere.
    """
    try:
        if (endpoint := named(os.environ)) is not None:
            yield endpoint
            return
        with running(os.environ) as endpoint:
            yield endpoint
    except NoDockerError as error:
        message = f"{error}. Start Docker, or name a Gridtie that runs elsewhere: GRIDTIE_BASE_URL and GRIDTIE_KEY"
        if os.environ.get("CI", "").lower() in ("", "0", "false"):
            pytest.skip(message)
        pytest.fail(message, pytrace=False)
    except EndpointError as error:
        pytest.fail(str(error), pytrace=False)
