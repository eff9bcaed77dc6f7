"""Verify, watch and find the reverse reasoning circuit of multi-token prediction.

The public names are listed in ``__init__.pyi`` and imported on first use, so that ``import circuits`` is quick. Theory
runs in float64: enable it first, with ``jax.config.update("jax_enable_x64", True)``.
"""

from typing import Any

import lazy_loader

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "verify":  # the ledger stands above this package and is its facade's only import from there
        from proofs_check import verify

        return verify
    return _attribute(name)
