"""Results do not depend on neighbouring tests: a folder that changes the compiler's settings restores them."""

import jax

from tests.conftest import COMPILED


def test_the_compiler_has_the_settings_of_all_tests_here():
    assert jax.config.values["jax_disable_most_optimizations"]
    assert jax.config.values["jax_compilation_cache_dir"] == COMPILED
