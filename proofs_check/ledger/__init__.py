"""The engine of the ledger: claims, tests, evidence, controls, verdicts, registries and reports. It knows no claim."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
