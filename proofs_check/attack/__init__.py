"""Attacks on the ledger: damage the library one result or one expression at a time, and see which claims notice.

    python -m proofs_check.attack functions    NaN, zero, a transpose, a sign in the result of a library function
    python -m proofs_check.attack formulas     every operator, index, axis and constant of the formulas

Both take ``--only GLOB``, ``--sample N --seed S`` and ``--json FILE``, from which an interrupted run resumes. Give both
the same file: they share the traces of the claims, and ``formulas`` skips results that ``functions`` reported as
unused.

An attack is detected if the claim's verdict changes, or a control or cross-check has another outcome. An exception does
not count as detection: a check that only crashes says nothing about the formula. The outcomes are

    detected   the claim noticed the attack
    crash      the check, or the library that it calls, raised an exception
    timeout    the check exceeded its time limit
    survived   the claim did not notice, although it notices another attack on the same result
    unused     the claim notices no attack on this result; a problem only if no other claim does either
    exempt     the attack changed no value

Survivors need a reason in ``explained.yaml``.
"""
