"""Strict settings for every test: float64 on, no silent promotion, shapes checked as annotated."""

from collections.abc import Iterator
from pathlib import Path

import jax
import matplotlib
import pytest
from hypothesis import settings
from jax.experimental.compilation_cache import compilation_cache
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("Agg")
install_import_hook(["circuits", "proofs_check"], "beartype.beartype")

# The first call of a jitted function compiles, so a deadline per example would measure the compiler.
settings.register_profile("circuits", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("circuits")

COMPILE_QUICKLY = ("cli", "pretrained", "probes", "tasks", "training", "transformer")
"""Folders whose tests compile hundreds of programs that compute little: optimising them would take the most time."""


QUICK_SETTINGS = {
    "jax_disable_most_optimizations": True,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@pytest.fixture(scope="session")
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly(request: pytest.FixtureRequest, _compiled: Path) -> Iterator[None]:
    """In these folders, compile without optimisations and keep programs on disk; restore the settings afterwards."""
    if request.path.relative_to(Path(__file__).parent).parts[0] not in COMPILE_QUICKLY:
        yield
        return
    settings = QUICK_SETTINGS | {"jax_compilation_cache_dir": str(_compiled)}
    before = {name: jax.config.values[name] for name in settings}
    for values in (settings, before):
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()  # jax looks up only once whether there is one
        jax.clear_caches()  # programs compiled under the other settings
        if values is settings:
            yield
