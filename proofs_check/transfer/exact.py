"""The losses of the one-layer model in symbols, and their derivatives, about whose signs the theorems are.

A data set is a table: N[c, b] is the number of times that token b came in context c = (i, j), i the current token and j
the target. The loss is -sum_c sum_b N[c, b] log softmax(x_c)[b]. Its derivatives are rational in the exponentials of
the weights, and each of these becomes a symbol e_w that ranges over all positive numbers. So

- a limit w -> -infinity is the value at e_w = 0, where no denominator vanishes, and
- a sign holds at all weights if no coefficient has the other sign, which ``nonnegative`` of the ledger checks.

Two current tokens, two targets and three tokens are enough: each context adds a term of its own, and all tokens other
than the one in question enter through the sum of their exponentials.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sympy

TOKENS = 3
CURRENT, TARGET = 0, 1
"""Positions of the current token and of the target in a context."""
CONTEXTS = ((0, 0), (0, 1), (1, 0), (1, 1))

Context = tuple[int, ...]
Expression = Any
"""An expression of sympy, which has no types."""
Table = Mapping[Context, Sequence[Expression]]
Logits = Callable[[Context], Sequence[Expression]]


def weight(matrix: str, row: int, column: int) -> Expression:
    """Return one entry of W^M, W^V or W^T."""
    return sympy.Symbol(f"{matrix}_{row}_{column}", real=True)


def exponential(of: Expression) -> Expression:
    """Return the symbol for exp of a weight, or of a symbol times a weight."""
    return sympy.Symbol(f"e({of})", positive=True)


def table(contexts: Iterable[Context], tokens: int = TOKENS) -> dict[Context, list[Expression]]:
    """Return a symbol for the number of occurrences of each token in each context."""
    return {
        c: [sympy.Symbol(f"N_{'_'.join(map(str, c))}_{b}", nonnegative=True) for b in range(tokens)] for c in contexts
    }


def first_logits(context: Context, tokens: int = TOKENS) -> list[Expression]:
    """x_1 = W^M[i] + W^V[j]."""
    return [weight("M", context[CURRENT], b) + weight("V", context[TARGET], b) for b in range(tokens)]


def loss(counted: Table, logits: Logits) -> Expression:
    """Return the loss by definition, summed over contexts without a divisor."""
    total = sympy.Integer(0)
    for context, numbers in counted.items():
        x = logits(context)
        total += sum(numbers) * sympy.log(sum(sympy.exp(each) for each in x))
        total -= sum(n * each for n, each in zip(numbers, x, strict=True))
    return total


def derivative(of: Expression, by: Expression) -> Expression:
    """Differentiate a loss by a weight, and write exponentials as symbols."""

    def product(power: Expression) -> Expression:
        parts = [(term.as_coeff_Mul()) for term in sympy.Add.make_args(power.args[0])]
        return sympy.Mul(*(exponential(rest) ** number for number, rest in parts if rest != 1))

    return sympy.diff(of, by).replace(lambda e: isinstance(e, sympy.exp), product)


def inverted(expression: Expression, exponentials: Iterable[Expression]) -> Expression:
    """Replace exponentials by their inverses, which range over all positive numbers too.

    With the exponentials of one token inverted, its probability has the form 1 / (1 + ..).
    """
    return expression.xreplace({each: 1 / each for each in exponentials})
