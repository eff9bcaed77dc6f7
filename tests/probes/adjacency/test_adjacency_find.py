"""Planted powers are recognised, nothing is where there is nothing, and up to which noise: measured and from theory.

M = C + σ G with C the centred power in units of its entries' standard deviation and G standard normal, so the cosine is
1 / √(1 + σ²). Against renamed nodes it is seen while N / √(1 + σ²) > z, the 95% point of the largest of the references'
normal numbers, about 2.5. Rewired graphs share a cosine ρ_k with A^k, which M has of chance, so that it takes
N √(1 - ρ_k) / √(1 + σ²) > z: σ* = N √(1 - ρ_k) / 2.5.
"""

import numpy as np
import pytest
from scipy.stats import binom

from circuits.probes.adjacency.find import PowerFindings, find_powers, indistinguishable, missing_nulls, verdict
from circuits.probes.adjacency.nulls import max_t_p_values, permuted_cosines, rewired_cosines
from circuits.probes.adjacency.references import Reference, centre_rows, graph_references
from circuits.probes.adjacency.scores import compare_matrices
from circuits.probes.adjacency.training import power_strength
from circuits.tasks.walks.graphs import random_dag
from circuits.tasks.walks.pairs import Observed
from tests.cases import assert_close

Z = 2.5


def planted(given: tuple[Reference, ...], power: int, noise: float, count: int, seed: int = 0) -> np.ndarray:
    matrix = centre_rows(next(r for r in given if r.power == power).matrix)
    drawn = np.random.default_rng(seed).normal(size=(count, *matrix.shape))
    return matrix / matrix.std() + noise * drawn


def judged(matrices: np.ndarray, given: tuple[Reference, ...], draws: int, seed: int = 0) -> np.ndarray:
    """p-values [permuted and rewired, M] of each matrix by itself, at its best reference."""
    cosine = compare_matrices(matrices, given).cosine
    best = cosine.argmax(axis=1)
    nulls = (null(matrices, given, draws, seed) for null in (permuted_cosines, rewired_cosines))
    each = [[max_t_p_values(cosine[[m]], null[:, [m]])[0, best[m]] for m in range(len(best))] for null in nulls]
    return np.array(each)


def verdicts(found: PowerFindings) -> list[str]:
    return [verdict(found, m) for m in range(len(found.best))]


def test_planted_powers_are_recognised_among_noise():
    given = graph_references(random_dag(30, 0.2, 1), 4)
    rng = np.random.default_rng(1)
    matrices = np.concatenate([*(planted(given, k, 1.0, 1, k) for k in (1, 2, 3, 4)), rng.normal(size=(6, 30, 30))])
    fresh = rng.normal(size=(39, 10, 30, 30))
    found = find_powers(matrices, given, fresh=fresh, draws=199)
    assert verdicts(found) == ["holds A", "holds A^2", "holds A^3", "holds A^4", *["none"] * 6]
    assert found.holds.tolist() == [True] * 4 + [False] * 6
    assert {name: null.draws for name, null in found.nulls.items()} == {
        "permuted": 199,
        "rewired": 199,
        "untrained": 39,
    }
    for m, k in enumerate((1, 2, 3, 4)):
        at = m, int(found.best[m])
        assert found.scores.cosine[at] == pytest.approx(1 / np.sqrt(2), abs=0.05)
        assert found.low[at] < 1 / np.sqrt(2) < found.high[at]
        assert found.partial[at] > 0.4
        assert found.candidates == ("A", "A^2", "A^3", "A^4", "reachability", "reachability^T")
        assert found.margin[m, k - 1] == 0
        assert all(found.margin_low[m, i] > 0 for i in range(6) if i != k - 1)
    # A fresh model that agrees as well takes the finding away.
    copied = find_powers(matrices, given, fresh=np.where(np.arange(39)[:, None, None, None] < 3, matrices, fresh))
    assert not copied.holds.any()
    assert all(copied.nulls["rewired"].p[m, copied.best[m]] <= 0.05 for m in range(4))


def test_a_mixture_of_neighbours_is_not_told_apart():
    given = graph_references(random_dag(30, 0.2, 1), 3)
    both = planted(given, 1, 0.0, 1) + planted(given, 2, 0.0, 1)
    found = find_powers(both + 0.5 * np.random.default_rng(0).normal(size=both.shape), given, draws=199)
    assert found.holds[0]
    assert {*indistinguishable(found, 0), found.references[int(found.best[0])].candidate} == {
        "A",
        "A^2",
        "reachability",
    }
    assert (
        verdict(found, 0)
        == f"cannot tell {found.references[int(found.best[0])].name} from {', '.join(indistinguishable(found, 0))}"
    )
    powers = find_powers(both, [r for r in given if r.power], draws=99)
    assert powers.candidates == ("A", "A^2", "A^3")
    assert {*indistinguishable(powers, 0), powers.references[int(powers.best[0])].candidate} == {"A", "A^2"}
    names = [r.name for r in given]
    assert min(found.partial[0, names.index(name)] for name in ("A", "A^2")) > 0.4
    assert abs(found.partial[0, names.index("A^3")]) < 0.2


def reach(given: tuple[Reference, ...], transposed: bool, observed: bool = False) -> np.ndarray:
    matrix = centre_rows(
        next(r for r in given if not r.power and (r.transposed, r.observed) == (transposed, observed)).matrix
    )
    return matrix / matrix.std()


def test_reachability_is_an_answer_like_a_power():
    """Either way round; a mixture with a power is distinguished from neither, a transposed power is no power."""
    given = graph_references(random_dag(30, 0.1, 1), 3)
    noise = np.random.default_rng(2).normal(size=(4, 30, 30))
    square = planted(given, 2, 0.0, 1)[0]
    clean = np.stack([reach(given, True), reach(given, False), 1.3 * square + reach(given, False), 0 * square])
    found = find_powers(clean + 0.7 * noise, given, draws=199)
    assert verdicts(found)[:2] == ["holds reachability^T", "holds reachability"]
    assert verdicts(found)[3] == "none"
    assert verdicts(found)[2] == "cannot tell A^2 from reachability"
    row = np.arange(4)
    cosine = found.scores.cosine
    assert_close(cosine[row, found.best], cosine.max(axis=1), atol=0)
    for place, name in enumerate(found.candidates):
        highest = cosine[:, [r.candidate == name for r in given]].max(axis=1)
        assert_close(found.margin[:, place], cosine.max(axis=1) - highest, atol=1e-12)


def test_observed_reachability_is_judged_by_the_nulls_that_it_has():
    graph = random_dag(30, 0.1, 1)
    full = graph_references(graph, 2)
    seen = np.random.default_rng(4).random((30, 30)) < 0.5
    given = graph_references(graph, 2, Observed(full[0].matrix > 0, seen & (full[-2].matrix > 0)))
    noise = np.random.default_rng(5).normal(size=(2, 30, 30))
    found = find_powers(np.stack([reach(given, True, True) + 0.5 * noise[0], noise[1]]), given, draws=99)
    assert verdicts(found) == ["holds observed reachability^T (no rewired null)", "none"]
    assert missing_nulls(found, 0) == ("rewired",)
    assert indistinguishable(found, 0) == ()
    fresh = np.random.default_rng(6).normal(size=(39, 2, 30, 30))
    fresh[:5, 0] = reach(given, True, True)
    assert (
        verdicts(find_powers(np.stack([reach(given, True, True), noise[1]]), given, fresh=fresh, draws=99))[0] == "none"
    )


KINDS = {
    "gaussian": lambda rng, count, n: rng.normal(size=(count, n, n)),
    "low rank": lambda rng, count, n: rng.normal(size=(count, n, 2)) @ rng.normal(size=(count, 2, n)),
    "columns": lambda rng, count, n: rng.normal(size=(count, 1, n)) + 0.3 * rng.normal(size=(count, n, n)),
    "rows": lambda rng, count, n: rng.normal(size=(count, n, 1)) + 0.3 * rng.normal(size=(count, n, n)),
}


def false_families(families: int, nodes: int, probability: float, draws: int) -> tuple[int, int]:
    """In how many calls of ``find_powers`` on two matrices of each kind, structured or not, anything is found at 5%;
    and in how many some matrix is above the 97.5% points of its best reference's nulls, each by itself."""
    rng, together, alone = np.random.default_rng(8), 0, 0
    for seed in range(families):
        given = graph_references(random_dag(nodes, probability, seed), 3)
        matrices = np.concatenate([drawn(rng, 2, nodes) for drawn in KINDS.values()])
        found = find_powers(matrices, given, draws=draws, seed=7 * seed)
        together += bool(found.holds.any())
        at = np.arange(len(matrices)), found.best
        above = [found.scores.cosine[at] > null.high[at] for null in found.nulls.values()]
        alone += bool(np.all(above, axis=0).any())
    return together, alone


def test_a_call_finds_something_where_there_is_nothing_at_most_as_often_as_it_says():
    together, alone = false_families(120, 8, 0.4, 39)
    assert 0 < together <= binom.ppf(0.999, 120, 0.05), (together, alone)
    assert alone > binom.ppf(0.9999, 120, 0.05), (together, alone)


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "probability"), [(10, 0.4), (25, 0.2)])
def test_the_rate_of_calls_that_find_something_where_there_is_nothing(nodes, probability):
    together, alone = false_families(600, nodes, probability, 99)
    assert 0 < together <= binom.ppf(0.999, 600, 0.05), (together, alone)
    assert alone > binom.ppf(0.9999, 600, 0.05), (together, alone)


def false_findings(kind: str, graphs: int, each: int, nodes: int, probability: float) -> np.ndarray:
    """How often each null alone finds a power at 5%, and how often both do."""
    rng, counts = np.random.default_rng(3), np.zeros(3, int)
    for seed in range(graphs):
        given = graph_references(random_dag(nodes, probability, seed), 3)
        found = judged(KINDS[kind](rng, each, nodes), given, 99, seed) <= 0.05
        counts += [found[0].sum(), found[1].sum(), found.all(axis=0).sum()]
    return counts


@pytest.mark.parametrize("kind", ["gaussian", "columns"])
def test_where_there_is_nothing_little_is_found(kind):
    """At most 5% of 600 by either null, as far as the binomial law lets one tell."""
    counts = false_findings(kind, 15, 40, 10, 0.4)
    assert np.all(counts <= binom.ppf(0.9999, 600, 0.05)), counts
    assert counts[2] <= min(counts[:2])
    if kind == "gaussian":  # the nulls do find what chance makes; they are no walls
        assert np.all(counts[:2] >= 9), counts


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_where_there_is_nothing_little_is_found_in_larger_graphs(kind):
    for nodes, probability in ((12, 0.4), (40, 0.15)):
        counts = false_findings(kind, 50, 20, nodes, probability)
        assert np.all(counts <= binom.ppf(0.9999, 1000, 0.05)), counts


def test_degrees_and_order_alone_pass_renaming_and_fail_rewiring():
    """Popularity that goes with in-degree is in every graph with these degrees, and nodes' order in every DAG."""
    rng, count, passed, failed = np.random.default_rng(5), 2, 0, 0
    for seed in range(15):
        graph = random_dag(20, 0.3, seed)
        out, into = (np.array([d for _, d in degrees]) for degrees in (graph.out_degree, graph.in_degree))
        degrees = np.outer(out, into) / 4 + rng.normal(size=(count, 20, 20))
        order = np.triu(np.ones((20, 20)), 1) + 0.5 * rng.normal(size=(count, 20, 20))
        permuted, rewired = judged(np.concatenate([degrees, order]), graph_references(graph, 3), 99, seed) <= 0.05
        passed, failed = passed + permuted.sum(), failed + rewired.sum()
    assert passed >= 57  # of 60
    assert failed <= binom.ppf(0.9999, 30, 0.05)


def test_the_noise_at_which_a_power_is_lost():
    """Seen at half of σ* and not at 4 σ*; and by the permuted null at half of N / 2.5 whatever the power."""
    given = graph_references(random_dag(40, 0.15, 2), 3)
    for power in (1, 3):
        place = [r.power == power and not r.support for r in given].index(True)
        clean = planted(given, power, 0.0, 1)
        shared = rewired_cosines(clean, given, 50)[:, 0, place].mean()
        lost = 40 * np.sqrt(1 - shared) / Z
        assert np.all(judged(planted(given, power, 0.4 * lost, 10), given, 99) <= 0.05)
        assert np.mean(np.all(judged(planted(given, power, 4 * lost, 20), given, 99) <= 0.05, axis=0)) <= 0.3


@pytest.mark.slow
@pytest.mark.parametrize("power", [1, 2, 3, 4])
def test_the_curve_of_noise_on_a_dag_of_100_nodes(power):
    """At cosine 1 / √(1 + σ²): all at 0.45 σ*, about half at σ*, few at 2.5 σ*; and at the right power where found."""
    given = graph_references(random_dag(100, 0.1, 3), 4)
    place = [r.power == power and not r.support for r in given].index(True)
    lost = 100 * np.sqrt(1 - rewired_cosines(planted(given, power, 0.0, 1), given, 50)[:, 0, place].mean()) / Z
    shares = []
    for times in (0.1, 0.45, 1.0, 2.5):
        matrices = planted(given, power, times * lost, 20, power)
        cosine = compare_matrices(matrices, given).cosine
        assert_close(cosine[:, place], np.full(20, 1 / np.sqrt(1 + (times * lost) ** 2)), atol=0.045)
        powered = [i for i, r in enumerate(given) if r.power]
        right = np.array([given[powered[i]].power == power for i in cosine[:, powered].argmax(axis=1)])
        shares.append(np.mean(np.all(judged(matrices, given, 199) <= 0.05, axis=0) & right))
    assert shares[0] == 1
    assert shares[1] >= 0.9
    assert 0.1 <= shares[2] <= 0.85
    assert shares[3] <= 0.35


def test_strength_is_the_highest_cosine_of_any_matrix():
    given = graph_references(random_dag(20, 0.3, 1), 3)
    matrices = np.concatenate([planted(given, 2, 1.0, 1), np.random.default_rng(0).normal(size=(3, 20, 20))])
    found = power_strength(matrices, given, draws=100)
    cosine = compare_matrices(matrices, given).cosine
    assert found.powers == (1, 2, 3)
    for k, value in zip(found.powers, found.cosine, strict=True):
        assert value == max(cosine[m, i] for m in range(4) for i, r in enumerate(given) if r.power == k)
    assert found.cosine[1] > found.null > np.abs(compare_matrices(matrices[1:], given).cosine).max() - 0.15
    highest = permuted_cosines(matrices, [r for r in given if r.power], 100).max(axis=(1, 2))
    assert found.null == pytest.approx(np.quantile(highest, 0.95), abs=1e-12)


GIVEN = graph_references(random_dag(8, 0.5, 1), 2)
NOISE = np.random.default_rng(0).normal(size=(2, 8, 8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": 1.5}, "level: must lie between 0 and 1"),
        ({"draws": 18}, "draws: must be an integer at least 19"),
        ({"draws": 98, "level": 0.01}, "draws: must be an integer at least 99"),
        ({"fresh": np.tile(NOISE, (18, 1, 1, 1))}, "fresh: must hold at least 19 models at this level"),
        ({"fresh": np.tile(NOISE[:1], (19, 1, 1, 1))}, "fresh: must hold 2 matrices"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        find_powers(NOISE, GIVEN, **changes)
    with pytest.raises(ValueError, match=r"^level: must lie between 0 and 1"):
        power_strength(NOISE, GIVEN, level=2.0)
