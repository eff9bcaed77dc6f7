"""The one-layer model of the transfer theory: counts, losses with gradients by hand, training, and a Flax module.

ALPINE (arXiv:2405.09220) with transfer matrices (arXiv:2509.23186). The public names are listed in ``__init__.pyi`` and
imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
