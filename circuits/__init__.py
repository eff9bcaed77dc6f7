"""Verify, watch and find the reverse reasoning circuit of multi-token prediction.

The public names are listed in ``__init__.pyi`` and imported on first use, so that ``import circuits`` is quick. Theory
runs in float64: enable it first, with ``jax.config.update("jax_enable_x64", True)``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
