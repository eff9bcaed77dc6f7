"""The paper's disentangled transformer: weights, closed form, losses, gradients by hand, the circuit by construction.

``circuit``, ``losses`` and ``objective`` are names of modules here; the functions of these names are in ``circuits``.
``literal.forward`` is the model by its definition, the oracle of the closed form ``forward``. The public names are
listed in ``__init__.pyi`` and imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
