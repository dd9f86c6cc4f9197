"""Members of the tables as parameters of tests; those whose package is missing are skipped."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import pytest

from nas.optimizers import OPTIMIZERS, STEPS
from nas.testing.closures import parts

STEPPED = [f"{step}(sgd)" for step in STEPS.names()]


def marked(titles: Iterable[str]) -> list[Any]:
    """Titles such as "sgd" and "sam(sgd)", each skipped where it cannot be built."""
    found = []
    for title in titles:
        package = OPTIMIZERS.get(parts(title)[0]).package
        missing = bool(package) and find_spec(package) is None
        reason = f"needs the package {package}"
        found.append(pytest.param(title, marks=pytest.mark.skipif(missing, reason=reason)))
    return found
