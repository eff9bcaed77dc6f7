"""Tasks to train on and to verify: path finding in star graphs, binary trees and arbitrary graphs, and Blocksworld.

The public names are listed in ``__init__.pyi``, by family, and imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
