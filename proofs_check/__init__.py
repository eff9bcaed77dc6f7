"""The ledger: every claim of the theory, decided by machine.

For claims of your own: a ``Claim`` names a check, a check returns ``Findings``, and findings hold ``Test`` objects. The
kinds of evidence are listed in ``KINDS``, the rule of verdicts stands in ``proofs_check.ledger.verdict``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
