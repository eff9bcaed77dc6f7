"""The tests compile hundreds of small programs that compute little: optimising them would take the most time."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def fast_to_compile() -> Iterator[None]:
    # Other folders change these options for themselves, and must not leave them changed.
    assert not jax.config.values["jax_disable_most_optimizations"]
    assert jax.config.values["jax_compilation_cache_dir"] is None
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
