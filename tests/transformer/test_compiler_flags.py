"""Tests of other folders that change options of the compiler, such as tests/training, change them back."""


def test_other_folders_restore_the_options_of_the_compiler(options_before):
    assert not options_before["jax_disable_most_optimizations"]
    assert options_before["jax_compilation_cache_dir"] is None
