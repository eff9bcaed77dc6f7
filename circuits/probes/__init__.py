"""Probes: find the planning circuit in a trained model, and test whether it does the work.

The public names are listed in ``__init__.pyi`` and imported on first use. The README's "Finding the circuit" starts here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
