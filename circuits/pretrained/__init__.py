"""Pretrained models of other projects as our transformer, and attention patterns of any Flax model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
