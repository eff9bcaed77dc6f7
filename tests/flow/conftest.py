"""Solving an ODE runs one program thousands of times, so here programs are optimised."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _optimised() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()  # programs compiled under the other setting
    yield
    jax.config.update("jax_disable_most_optimizations", True)
    jax.clear_caches()
