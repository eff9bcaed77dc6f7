"""The trainer of all models: configs and presets, runs in folders with checkpoints, sweeps.

``circuits train`` and ``circuits sweep`` do the same from the command line. The public names are listed in
``__init__.pyi`` and imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
