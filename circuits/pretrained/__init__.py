"""Models of other people as our transformer: folders in the Hugging Face layout."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
