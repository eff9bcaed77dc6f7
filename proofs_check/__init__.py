"""The ledger: every claim of the theory, decided by machine.

``verify`` decides claims. For a claim of your own, write a ``Claim`` that names a check, a function that returns
``Findings``, which hold ``Test`` objects. The kinds of evidence are listed in ``KINDS``, the rule for verdicts is in
``proofs_check.ledger.verdict``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
