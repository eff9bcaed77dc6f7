"""The ledger: claims of the theory, with checks that decide whether they are true.

``verify`` decides claims. To add your own, write a ``Claim`` whose check is a function that returns ``Findings``, which
contain a ``Test`` for each part of the statement. ``KINDS`` lists the kinds of evidence, and
``proofs_check.ledger.verdict`` explains the rule for verdicts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
