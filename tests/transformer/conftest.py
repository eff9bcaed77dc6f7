"""The tests compile hundreds of small programs that compute little: optimising them would take the most time."""

from collections.abc import Iterator
from typing import Any

import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def options_before() -> Iterator[dict[str, Any]]:
    """Compile without optimisations, and return the options as the tests of other folders left them."""
    names = ("jax_disable_most_optimizations", "jax_compilation_cache_dir")
    before = {name: jax.config.values[name] for name in names}
    jax.config.update("jax_disable_most_optimizations", True)
    yield before
    jax.config.update("jax_disable_most_optimizations", before["jax_disable_most_optimizations"])
