"""A Ray cluster of two CPUs and a make-believe GPU, for the tests that want one."""

from __future__ import annotations

import gc
import importlib.util
import logging
import secrets
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_environment() -> Iterator[pytest.MonkeyPatch]:
    """What a test's clusters need: a key of their own, and no words to anybody.

    Ray reads it once, when it is imported.
    """
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra 'ray' is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        yield patch


@pytest.fixture(scope="module")
def ray_here(ray_environment: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster that this process has joined: executors use it, and leave it alone."""
    import ray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves its processes to the end
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=1,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=100 * 2**20,
        )
        yield
        ray.shutdown()
        gc.collect()
