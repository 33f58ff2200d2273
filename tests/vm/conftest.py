"""The virtual machines that tests run in."""

from __future__ import annotations

from pathlib import Path

import pytest
from vm.boot import KERNELS, CannotBootError, Image, Kernel, image, missing_tool


@pytest.fixture(scope="session", params=KERNELS, ids=str)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Each kernel that PFQ supports, besides the one that runs. It is downloaded once for all runs of the tests."""
    wanted: Kernel = request.param
    if why := missing_tool():
        pytest.skip(why)
    cache: pytest.Cache | None = request.config.cache
    store = cache.mkdir("kernels") if cache else tmp_path_factory.mktemp("kernels")
    try:
        return image(wanted, Path(store))
    except CannotBootError as error:
        pytest.skip(f"no Linux {wanted}: {error}")
