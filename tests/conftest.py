"""What all tests share: one thread, the same examples every time, and where real data lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# Before torch or NumPy is imported anywhere: many threads on few cores make tests slower, and
# sums that depend on the number of threads make them differ.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[_name] = "1"

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search",
    settings.get_profile("ci"),
    derandomize=False,
    max_examples=2000,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

REPOSITORY = Path(__file__).resolve().parents[1]


def data_folder() -> Path:
    """Where published tables and pictures lie, if this machine has them."""
    named = os.environ.get("NAS_TEST_DATA")
    return Path(named) if named else REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Callable[..., Path]:
    """`shared_data("nasbench201")` is that path; the test is skipped where there is none."""

    def find(*parts: str) -> Path:
        path = data_folder().joinpath(*parts)
        if not path.exists():
            pytest.skip(f"no {'/'.join(parts)} among the test data; set NAS_TEST_DATA to a folder")
        return path

    return find
