"""Test which power of the adjacency matrix, or reachability, a matrix of node logits holds beyond chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits import checks, display
from circuits.display import Figure
from circuits.probes.adjacency.intervals import bootstrap_cosines, cosine_interval, difference_interval
from circuits.probes.adjacency.nulls import max_t_p_values, permuted_cosines, rewired_cosines, untrained_cosines
from circuits.probes.adjacency.references import Reference, candidate_names
from circuits.probes.adjacency.scores import MatrixScores, by_reference, compare_matrices, partial_cosines


class NullCosines(NamedTuple):
    """Cosines under a null hypothesis, and p-values against them."""

    mean: Float[np.ndarray, "matrices references"]
    low: Float[np.ndarray, "matrices references"]
    """The 2.5% point."""
    high: Float[np.ndarray, "matrices references"]
    """The 97.5% point."""
    p: Float[np.ndarray, "matrices references"]
    """Familywise p-values over all matrices and references; NaN if the reference has no such null."""
    draws: int

    _repr_html_ = display.html

    def plot(
        self,
        field: str = "mean",
        *,
        names: Sequence[object] = (),
        references: Sequence[object] = (),
        title: str = "",
    ) -> Figure:
        """Draw the mean, an end of the interval, or the p-value of every matrix against every reference.

        Args:
            field: "mean", "low", "high" or "p".
            names: of the matrices; by default 0, 1, ...
            references: names of the references; by default 0, 1, ...
            title: above the heatmap.

        Returns:
            A figure with one axes.

        Raises:
            ValueError: for an unknown field, names that do not fit, or values that are not finite.

        Example:
            >>> zero = np.zeros((1, 2))
            >>> NullCosines(zero, zero - 0.1, zero + 0.1, zero + 0.5, draws=99).plot().axes[0].get_ylabel()
            'matrix'
        """
        checks.choice("field", field, self._fields[:4])
        return by_reference(getattr(self, field), field, names, references, title)


class PowerFindings(NamedTuple):
    """Every matrix compared with every reference; ``verdict`` sums up one matrix in words."""

    references: tuple[Reference, ...]
    scores: MatrixScores
    low: Float[np.ndarray, "matrices references"]
    """Lower end of the confidence interval of each cosine."""
    high: Float[np.ndarray, "matrices references"]
    partial: Float[np.ndarray, "matrices references"]
    """The cosine with a power given the other powers of its kind; NaN for reachability."""
    nulls: dict[str, NullCosines]
    """By name: "permuted", "rewired", and "untrained" if matrices of untrained models were given."""
    best: Int[np.ndarray, " matrices"]
    """The index of the reference with the highest cosine."""
    holds: Bool[np.ndarray, " matrices"]
    """Whether the p-value of the best reference is at most the level against every null that it has."""
    candidates: tuple[str, ...]
    """The hypotheses "A", "A^2", ..., "reachability", "reachability^T", each with one or more references (counts and
    support, of the whole graph and of the observed one)."""
    margin: Float[np.ndarray, "matrices candidates"]
    """The cosine of the best reference minus the highest of each candidate's references; 0 for its own candidate."""
    margin_low: Float[np.ndarray, "matrices candidates"]
    """Lower end of the margin's confidence interval; below 0, the candidate may be the better one."""
    margin_high: Float[np.ndarray, "matrices candidates"]
    level: float

    def plot(self, matrix: int | None = None, *, names: Sequence[str] = (), title: str = "") -> Figure:
        """Draw the cosines of all matrices as a heatmap, or those of one matrix as bars next to every null.

        Args:
            matrix: index of a matrix; by default all of them.
            names: of the matrices; by default 0, 1, ...
            title: above the figure.

        Returns:
            A figure with one axes. In the heatmap, a dot marks the best reference of a matrix that holds it.

        Raises:
            ValueError: if there is no such matrix, or another number of names.

        Example:
            >>> from circuits.probes import find_powers, graph_references
            >>> from circuits.tasks import adjacency, random_dag
            >>> graph = random_dag(30, 0.2, seed=0)
            >>> findings = find_powers(adjacency(graph)[None].astype(float), graph_references(graph, 2), draws=50)
            >>> findings.plot(matrix=0).axes[0].get_ylabel()
            'cosine of centred rows'
        """
        cosine, references = self.scores.cosine, [reference.name for reference in self.references]
        if matrix is None:
            significant = np.zeros(cosine.shape, bool)
            significant[np.arange(len(cosine)), self.best] = self.holds
            rows = list(names) or [str(number) for number in range(len(cosine))]
            figure = display.plotting.power_heatmap(rows, references, cosine, significant, title=title)
            figure.axes[0].set(xlabel="reference", ylabel="matrix")
            return figure
        checks.integer("matrix", matrix, min_value=0, max_value=len(cosine) - 1)
        bands = {
            name: display.plotting.NullBand(null.mean[matrix], null.low[matrix], null.high[matrix])
            for name, null in self.nulls.items()
        }
        ends = self.low[matrix], self.high[matrix]
        return display.plotting.power_bars(references, cosine[matrix], ends, bands, title=title)

    @display.safe
    def _repr_html_(self) -> str:
        rows = []
        for matrix, best in enumerate(self.best.tolist()):
            ends = f"{self.low[matrix, best]:.2f} to {self.high[matrix, best]:.2f}"
            p_values = [f"{null.p[matrix, best]:.2g}" for null in self.nulls.values()]
            cosine = f"{self.scores.cosine[matrix, best]:.2f}"
            rows.append((matrix, self.references[best].name, cosine, ends, *p_values, verdict(self, matrix)))
        head = ("matrix", "best reference", "cosine", "interval", *(f"p, {name}" for name in self.nulls), "verdict")
        return display.table("Powers of the graph", head, rows) + display.picture(self.plot())


def find_powers(
    matrices: Float[np.ndarray, "matrices N N"],
    references: Sequence[Reference],
    *,
    fresh: Float[np.ndarray, "models each N N"] | None = None,
    draws: int = 1000,
    level: float = 0.05,
    seed: int = 0,
) -> PowerFindings:
    """Test which power of a graph's adjacency matrix, or reachability, each matrix holds beyond chance.

    p-values control the familywise error rate: if no matrix holds anything, the probability that any is said to hold
    something is at most ``level``. Each confidence interval is for one matrix, at confidence 1 - ``level``.

    Args:
        matrices: node logits, [matrices, N, N]; row u holds the logits over nodes when node u is fed in. See
            ``ov_circuits``, ``layer_maps``, ``transfer_matrices`` and ``jacobians``.
        references: from ``graph_references``.
        fresh: the same matrices of untrained models, [models, matrices, N, N].
        draws: number of draws of each null and of the bootstrap.
        level: familywise error rate.
        seed: of the draws.

    Raises:
        ValueError: as ``compare_matrices``; if the level is not between 0 and 1, draws or untrained models are too few
            for the level, or ``fresh`` has another shape.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import find_powers, graph_references, verdict
        >>> from circuits.tasks import adjacency, random_dag
        >>> graph = random_dag(30, 0.2, seed=0)
        >>> square = np.linalg.matrix_power(adjacency(graph).astype(float), 2)
        >>> noise = np.random.default_rng(0).normal(size=square.shape)
        >>> findings = find_powers(np.stack([square + noise, noise]), graph_references(graph, powers=3), draws=100)
        >>> verdict(findings, 0), verdict(findings, 1)
        ('holds A^2', 'none')
    """
    smallest = min_draws(level)
    checks.integer("draws", draws, min_value=max(smallest, 2))
    scores = compare_matrices(matrices, references)
    cosines = {
        "permuted": permuted_cosines(matrices, references, draws, seed),
        "rewired": rewired_cosines(matrices, references, draws, seed + 1),
    }
    if fresh is not None:
        rule = f"must hold at least {smallest} models at this level"
        checks.require(len(fresh) >= smallest, "fresh", rule, len(fresh))
        checks.require(fresh.shape[1] == len(matrices), "fresh", f"must hold {len(matrices)} matrices", fresh.shape[1])
        cosines["untrained"] = untrained_cosines(fresh, references)
    nulls = {name: _null(scores.cosine, drawn) for name, drawn in cosines.items()}
    best = scores.cosine.argmax(axis=1)
    p = np.stack([null.p[np.arange(len(best)), best] for null in nulls.values()])
    # Every reference has a permuted null, so a NaN of another null never decides alone.
    holds = np.all(np.isnan(p) | (p <= level), axis=0)
    resamples = bootstrap_cosines(matrices, references, draws, seed + 3)
    nodes = matrices.shape[-1]
    low, high = cosine_interval(scores.cosine, resamples, nodes, 1 - level)
    choice = _best_of_candidates(scores.cosine, references)
    margin = _margins(scores.cosine, best, choice)
    ends = difference_interval(margin, _margins(resamples, best, choice), nodes, 1 - level)
    partial, names = partial_cosines(matrices, references), candidate_names(references)
    return PowerFindings(tuple(references), scores, low, high, partial, nulls, best, holds, names, margin, *ends, level)


def min_draws(level: float) -> int:
    """Return the fewest draws with which a p-value can reach a level. Raises ValueError for a level outside (0, 1)."""
    checks.require(0 < level < 1, "level", "must lie between 0 and 1", level)
    return int(np.ceil(round(1 / level, 6))) - 1


def indistinguishable(findings: PowerFindings, matrix: int) -> tuple[str, ...]:
    """Return the other candidates that may be as good as the best one: their margin's interval reaches 0."""
    own = findings.references[int(findings.best[matrix])].candidate
    low = findings.margin_low[matrix]
    return tuple(name for i, name in enumerate(findings.candidates) if name != own and low[i] <= 0)


def missing_nulls(findings: PowerFindings, matrix: int) -> tuple[str, ...]:
    """Return the nulls that the best reference of a matrix lacks: observed reachability has no rewired graphs."""
    best = matrix, int(findings.best[matrix])
    return tuple(name for name, null in findings.nulls.items() if np.isnan(null.p[best]))


def verdict(findings: PowerFindings, matrix: int) -> str:
    """Return in words what one matrix holds.

    Args:
        findings: from ``find_powers``.
        matrix: index of the matrix.

    Returns:
        Such as "holds A^2 support", "holds reachability^T", "cannot tell A^2 from A^3", or "none"; followed by "(no
        rewired null)" if the best reference has none.

    Example:
        >>> import numpy as np
        >>> from circuits.probes import find_powers, graph_references, verdict
        >>> from circuits.tasks import adjacency, random_dag
        >>> graph = random_dag(30, 0.2, seed=0)
        >>> findings = find_powers(adjacency(graph)[None].astype(float), graph_references(graph, powers=2), draws=50)
        >>> verdict(findings, 0)
        'holds A'
    """
    if not findings.holds[matrix]:
        return "none"
    name, others = findings.references[int(findings.best[matrix])].name, indistinguishable(findings, matrix)
    result = f"cannot tell {name} from {', '.join(others)}" if others else f"holds {name}"
    missing = missing_nulls(findings, matrix)
    return f"{result} (no {' or '.join(missing)} null)" if missing else result


def _null(
    cosine: Float[np.ndarray, "matrices references"], drawn: Float[np.ndarray, "draws matrices references"]
) -> NullCosines:
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return NullCosines(drawn.mean(axis=0), low, high, max_t_p_values(cosine, drawn), len(drawn))


def _best_of_candidates(
    cosine: Float[np.ndarray, "matrices references"], references: Sequence[Reference]
) -> Int[np.ndarray, "matrices candidates"]:
    """Return, for each candidate, the index of its reference with the highest cosine."""
    candidate = np.array([r.candidate for r in references])
    columns = [np.flatnonzero(candidate == name) for name in candidate_names(references)]
    return np.stack([own[cosine[:, own].argmax(axis=1)] for own in columns], axis=-1)


def _margins(
    cosine: Float[np.ndarray, "*draws matrices references"],
    best: Int[np.ndarray, " matrices"],
    choice: Int[np.ndarray, "matrices candidates"],
) -> Float[np.ndarray, "*draws matrices candidates"]:
    """Return the cosine of the best reference minus that of each candidate's chosen one, for every draw."""
    row = np.arange(len(best))[:, None]
    return cosine[..., row, best[:, None]] - cosine[..., row, choice]
