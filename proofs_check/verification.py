"""Decide claims from Python: this package's own, those of installed packages, and those of other registries."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import jax

from proofs_check.ledger import Result, Verification, cache, registry
from proofs_check.ledger.claim import Claim
from proofs_check.ledger.run import decide_all

REGISTRIES = tuple(Path(__file__).parent / package / "claims.yaml" for package in ("planning", "transfer", "sources"))
"""A registry for each source, or group of sources."""


def own_claims() -> tuple[Claim, ...]:
    """Return the claims of this package, in the order of their registries. No check is imported.

    Example:
        >>> {claim.id: claim.recorded for claim in own_claims()}["lemma-5.content-1"]
        'holds'
    """
    return registry.unique(claim for path in REGISTRIES for claim in registry.load(path))


def verify(
    only: str | Iterable[str] = (),
    *,
    claims: Sequence[str | Path] = (),
    installed: bool = False,
    jobs: int = 1,
    time_limit: int | float | None = None,
    fresh: bool = False,
) -> Verification:
    """Decide claims and return the results; the function behind ``circuits verify``.

    Args:
        only: glob patterns of claim ids, such as "lemma-3.*"; commas separate several. All claims by default.
        claims: registries to read instead of this package's: YAML files, or Python files that define ``CLAIMS``.
        installed: whether to add this package's claims and those of installed packages to ``claims``.
        jobs: number of claims to decide in parallel, each in a process of its own.
        time_limit: seconds after which a claim's check is stopped; it then counts as an error.
        fresh: whether to ignore cached results of the same code on the same data.

    Returns:
        The results in the order of the claims. They print as a table, and are indexed by claim id.

    Raises:
        ValueError: for a pattern without a claim, or a registry or check that cannot be read or imported.

    Example:
        >>> verification = verify("speculative.*")
        >>> verification.agrees
        True
        >>> verification["speculative.expected-tokens"].verdict
        'fails'
    """
    selection = select_claims([only] if isinstance(only, str) else only, claims, installed)
    if selection.errors:
        raise ValueError("; ".join(selection.errors))
    prepare(selection.claims)
    return Verification(tuple(results(selection.claims, jobs, time_limit, fresh)))


def select_claims(only: Iterable[str], registries: Sequence[str | Path], installed: bool) -> registry.Collected:
    """Return the claims that match the patterns. Raises ValueError for a bad registry or pattern."""
    claims, errors = [claim for path in registries for claim in registry.load(path)], ()
    if installed or not registries:
        discovered = registry.discover()
        claims, errors = [*own_claims(), *discovered.claims, *claims], discovered.errors
    return registry.Collected(registry.select(registry.unique(claims), only), errors)


def prepare(claims: Sequence[Claim]) -> None:
    """Import the checks of claims. Raises ValueError naming the first that cannot be imported."""
    cache.code_checksum()  # taken before the imports: files edited later are not the code that runs
    with jax.enable_x64(True):  # modules may create arrays when they are imported
        registry.check_imports(claims)


def results(claims: Sequence[Claim], jobs: int, time_limit: int | float | None, fresh: bool) -> Iterator[Result]:
    """Yield the results, cached or computed now, in the order of the claims."""
    cached = {} if fresh else {claim.id: result for claim in claims if (result := cache.load(claim))}
    decided = decide_all([claim for claim in claims if claim.id not in cached], jobs, time_limit)
    for claim in claims:
        if claim.id in cached:
            yield cached[claim.id]
        else:
            result = next(decided)
            cache.store(result)
            yield result
