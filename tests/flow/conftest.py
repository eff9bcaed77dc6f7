"""Solving an ODE runs one program thousands of times, so here programs are optimised."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _optimised() -> Iterator[None]:
    for off in (False, True):
        jax.config.update("jax_disable_most_optimizations", off)
        jax.clear_caches()  # programs compiled under the other setting
        if not off:
            yield
