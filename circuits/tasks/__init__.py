"""Tasks to train on and to verify: path finding in stars, binary trees and any directed graph; blocksworld."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
