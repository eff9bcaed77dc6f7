"""The result of a test does not depend on its neighbours: folders that change the compiler's settings restore them."""

import jax


def test_the_compiler_has_its_own_settings_here():
    assert not jax.config.values["jax_disable_most_optimizations"]
    assert jax.config.values["jax_compilation_cache_dir"] is None
