"""The cases of Lemmas 1 to 5 are the paper's prompts, and the symbols mean what Lemma 1 says."""

from collections import Counter

import numpy as np

from proofs_check.methods import cases, star
from proofs_check.methods.cases import jacobian, masked, softmax, symbols


def test_the_prompts_are_star_graphs_in_every_edge_order():
    tokens, y1, y2 = cases.prompts()
    orders = Counter()
    for row, v, end in zip(tokens.tolist(), y1.tolist(), y2.tolist(), strict=True):
        edges, (goal, start) = list(zip(row[:8:2], row[1:8:2], strict=True)), row[8:]
        other = next(b for a, b in edges if a == start and b != v)
        leaf = next(b for a, b in edges if a == other)
        assert goal == end
        assert len({start, v, end, other, leaf}) == 5
        named = [(start, v), (v, end), (start, other), (other, leaf)]
        assert sorted(edges) == sorted(named)
        orders[tuple(named.index(edge) for edge in edges)] += 1
    assert list(orders.values()) == [star.DRAWS] * 24


def test_the_symbols_are_those_of_sums_over_positions():
    (first, second), tokens = cases.direction(), cases.prompts()[0][5]
    actual = symbols((first, second), tokens, tokens[1])
    size = range(star.T)
    a1, a2 = (
        [[w.content[tokens[i], tokens[j]] + w.position[i, j] for j in size] for i in size] for w in (first, second)
    )
    s1 = np.zeros((star.T, star.T))
    for i in size:
        total = sum(np.exp(a1[i][j]) for j in range(i + 1))
        s1[i, : i + 1] = [np.exp(a1[i][j]) / total for j in range(i + 1)]
    logits = [sum(s1[-1, i] * a2[i][j] for i in size) for j in size]
    s2 = np.exp(logits) / sum(np.exp(logits))
    hit = [tokens[j] == tokens[1] for j in size]
    np.testing.assert_allclose(actual.s1, s1, rtol=1e-13)
    np.testing.assert_allclose(actual.s2, s2, rtol=1e-13)
    np.testing.assert_allclose(actual.f2, sum(s1[-1, hit]), rtol=1e-13)
    np.testing.assert_allclose(actual.f1, sum(s2[i] * s1[i, j] for i in size for j in size if hit[j]), rtol=1e-13)


def test_the_jacobian_is_the_derivative_of_softmax():
    x, d = np.array([0.3, -1.0, 2.0]), np.array([0.7, 0.2, -0.4])
    slope = (softmax(x + 1e-6 * d) - softmax(x - 1e-6 * d)) / 2e-6
    np.testing.assert_allclose(
        d @ jacobian(softmax(x)), slope, atol=1e-9
    )  # (1e-6)^2 of a third derivative, and rounding


def test_the_frozen_layer_1_is_one_hot_to_rounding():
    shift = cases.POINTER * np.eye(star.T, k=-1)
    np.testing.assert_array_equal(softmax(masked(shift))[1:].round(15), np.eye(star.T)[:-1])
