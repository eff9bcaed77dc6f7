"""Plots: arrays → matplotlib ``Figure``, and attention maps → one self-contained interactive page.

Layers, heads and positions count from 0 (L5H1), except in the paper's symbols, such as W^(1). No function uses pyplot
or its global state. A figure that is the last value of a notebook cell is displayed there.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
