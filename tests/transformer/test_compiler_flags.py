"""Tests that compile without optimisations, in tests/training, leave nothing of that to others."""

import jax


def test_programs_are_compiled_as_users_compile_them():
    assert not jax.config.values["jax_disable_most_optimizations"]
    assert jax.config.values["jax_compilation_cache_dir"] is None
