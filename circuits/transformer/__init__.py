"""The decoder-only transformer: build or load one, capture and edit its activations, decode with it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
