"""Strict settings for every test: float64 on, no silent promotion, shapes checked as annotated."""

import os
import signal
from importlib.metadata import version
from pathlib import Path

import jax
import matplotlib
from hypothesis import settings
from jaxtyping import install_import_hook

# The tests compile thousands of programs that compute little, so the compiler takes most of their time. Without
# optimisations and with the older emitters it takes a fifth of that. XLA reads its flags when the first array is
# made, and stops at a flag that it does not know. The environment passes both settings on to processes that tests
# start.
jax.config.update("jax_disable_most_optimizations", True)
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
if version("jaxlib") == "0.10.2":
    FAST = "--xla_cpu_use_fusion_emitters=false --xla_cpu_experimental_ynn_fusion_type="
    os.environ["XLA_FLAGS"] = f"{FAST} {os.environ.get('XLA_FLAGS', '')}"

# Compiled programs are stored on disk by their content, for other workers, for processes that tests start, and for the
# next run. A changed function is a different program and is compiled again.
COMPILED = str(Path(__file__).parents[1] / "build" / "compiled")
jax.config.update("jax_compilation_cache_dir", COMPILED)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
os.environ |= {"JAX_COMPILATION_CACHE_DIR": COMPILED, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("Agg")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background would ignore the tests' Ctrl-C
install_import_hook(["circuits", "proofs_check"], "beartype.beartype")

# The first call of a jitted function compiles, so a deadline per example would measure the compiler.
settings.register_profile("circuits", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("circuits")
