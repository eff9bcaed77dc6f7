"""Strict settings for every test: float64 on, no silent promotion, shapes checked as annotated."""

import jax
import matplotlib
from hypothesis import settings
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
matplotlib.use("Agg")
install_import_hook(["circuits", "proofs_check"], "beartype.beartype")

# The first call of a jitted function compiles, so a deadline per example would measure the compiler.
settings.register_profile("circuits", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("circuits")
