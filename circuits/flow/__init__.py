"""Exact gradient flows: population averages over every graph, vector fields in any coordinates, and their solutions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
