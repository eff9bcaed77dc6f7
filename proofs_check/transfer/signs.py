"""Signs of the gradients of the one-layer model: entries of W^M and W^V under the next-token loss, and of W^T.

In our words, the theorems of arXiv:2405.09220 and arXiv:2509.23186 on the simplified model: one layer, one-hot
embeddings, attention fixed on the target. They are proved in symbols, see ``exact``.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import sympy

from proofs_check.ledger import Findings, Outcome, Test, every, nonnegative, same
from proofs_check.transfer import exact
from proofs_check.transfer.exact import CONTEXTS, CURRENT, TARGET, TOKENS, Context, Expression, exponential, weight
from proofs_check.transfer.library import agreement

ROWS = (0, 1)
"""Tokens that occur in a context."""
NEXT = ((0, 0), (0, 1), (1, 2))
"""Contexts of the second step: the next token, and a number that distinguishes contexts."""
ENTRIES = [(row, column) for row in ROWS for column in range(TOKENS)]
Entry = Callable[[int, int], Expression]
Mutants = dict[str, "Gradient"]


class Gradient(NamedTuple):
    """The gradient of one matrix, and the counts and exponentials in it.

    Args:
        entry: the derivative in (row, column).
        counted: the numbers N by context and token.
        position: position of the row's token in a context.
        formula: the registry's closed form of the derivative.
        exponentials: maps (row, column) to the exponentials in the odds of the column's token in the row's contexts,
            and to those among them that tend to 0 as the entry itself tends to minus infinity.
    """

    entry: Entry
    counted: dict[Context, list[Expression]]
    position: int
    formula: Entry
    exponentials: Callable[[int, int], tuple[list[Expression], list[Expression]]]

    def contexts(self, row: int) -> list[Context]:
        return [context for context in self.counted if context[self.position] == row]

    def without(self, row: int, *columns: int) -> dict[Expression, Expression]:
        """Return substitutions by which none of these tokens occurs in a context of the row."""
        return {self.counted[c][b]: sympy.Integer(0) for c in self.contexts(row) for b in columns}

    def once(self, row: int, column: int) -> dict[Expression, Expression]:
        """Return a substitution by which this token occurs at least once in the first of the row's contexts."""
        number = self.counted[self.contexts(row)[0]][column]
        return {number: 1 + number}


def next_token_signs() -> Findings:
    """ALPINE: the signs of the next-token gradient in W^M and in W^V, for any values of all other weights."""
    content, value = first("M"), first("V")
    return Findings(
        (
            *parts("W^M", content, {"dL_1/dW^V": content._replace(entry=value.entry)}),
            *parts("W^V", value, {"dL_1/dW^M": value._replace(entry=content.entry)}),
        ),
        (agreement(1, ("content", "value")),),
        "Current token 0, in one context, was followed by token 1 once and by 2 never: at zero weights its row of "
        "dL_1/dW^M is 1/3, -2/3, 1/3, and its second entry tends to -1 with its own weight.",
    )


def transfer_signs() -> Findings:
    """The same signs of W^T, where the logits of step 1 are one-hot at the next token; without that they fail."""
    wrong = {"one-hot at another token": transfer(at_another)}
    negative = {"logits of step 1 with a negative entry": transfer(against_another)}
    return Findings(
        parts("W^T", transfer(one_hot), wrong, negative),
        (agreement(2, ("transfers",), injection=True),),
        "Where the logits of step 1 are not one-hot, the sign is that of x_1[a] times what the counts decide: one "
        "context, next token 0, then token 1, x_1 = (1, -1, 0). At W^T = 0 row 1 of the gradient is -1/3, 2/3, -1/3 "
        "although token 1 never was the next token: (a) would have 0.",
    )


@cache
def first(matrix: str) -> Gradient:
    """Return dL_1/dW^M or dL_1/dW^V."""
    counted, other = exact.table(CONTEXTS), "V" if matrix == "M" else "M"
    whole = exact.loss(counted, exact.first_logits)

    def exponentials(row: int, column: int) -> tuple[list[Expression], list[Expression]]:
        own = [exponential(weight(matrix, row, column))]
        return own + [exponential(weight(other, each, column)) for each in ROWS], own

    def odds(context: Context, column: int) -> Expression:
        return sympy.Mul(*(exponential(weight(m, context[n], column)) for n, m in enumerate("MV")))

    entry = cache(lambda row, column: exact.derivative(whole, weight(matrix, row, column)))
    position = CURRENT if matrix == "M" else TARGET
    formula = closed_form(counted, position, odds, lambda _: sympy.Integer(1))
    return Gradient(entry, counted, position, formula, exponentials)


def closed_form(
    counted: exact.Table,
    position: int,
    odds: Callable[[Context, int], Expression],
    size: Callable[[Context], Expression],
) -> Entry:
    """Return (row, k) -> the sum over the row's contexts of size (N_c p(k | c) - N_ck)."""

    def formula(row: int, k: int) -> Expression:
        total = sympy.Integer(0)
        for c, numbers in counted.items():
            if c[position] == row:
                chance = odds(c, k) / sum(odds(c, b) for b in range(TOKENS))
                total += size(c) * (sum(numbers) * chance - numbers[k])
        return total

    return formula


def one_hot(context: Context, token: int) -> Expression:
    """x_1[token]: c at the next token, with its own c > 0 in each context, and 0 elsewhere."""
    return _size(context) if token == context[0] else sympy.Integer(0)


def at_another(context: Context, token: int) -> Expression:
    """As ``one_hot``, at the following token in the order of tokens."""
    return one_hot(context, (token - 1) % TOKENS)


def against_another(context: Context, token: int) -> Expression:
    """c at the next token, and -c at that of ``at_another``."""
    return one_hot(context, token) - at_another(context, token)


def _size(context: Context) -> Expression:
    return sympy.Symbol(f"c_{context[1]}", positive=True)


@cache
def transfer(logits: Callable[[Context, int], Expression]) -> Gradient:
    """Return dL_2/dW^T, from x_2 = x_1 W^T, each row divided by the positive c of its first context."""
    counted = exact.table(NEXT)

    def second_logits(context: Context) -> list[Expression]:
        return [sum(logits(context, a) * weight("T", a, b) for a in range(TOKENS)) for b in range(TOKENS)]

    def exponentials(row: int, column: int) -> tuple[list[Expression], list[Expression]]:
        own = [exponential(_size(c) * weight("T", row, column)) for c in NEXT if c[0] == row]
        return own, own

    def odds(context: Context, column: int) -> Expression:
        return exponential(_size(context) * weight("T", context[0], column))

    whole = exact.loss(counted, second_logits)
    firsts = {_size(next(c for c in NEXT if c[0] == row)): sympy.Integer(1) for row in ROWS}
    entry = cache(lambda row, column: exact.derivative(whole, weight("T", row, column)).xreplace(firsts))
    formula = closed_form(counted, 0, odds, lambda c: _size(c).xreplace(firsts))
    return Gradient(entry, counted, 0, formula, exponentials)


def parts(name: str, right: Gradient, wrong: Mutants, of_zero: Mutants | None = None) -> tuple[Test, ...]:
    """Test the three parts of the statement on one matrix, and the closed form."""
    transposed = {"transposed": right._replace(entry=lambda row, column: right.entry(column, row))}
    opposite = transposed | {"the other sign": right._replace(entry=lambda row, column: -right.entry(row, column))}
    zeros = transposed | wrong | (of_zero or {})
    return (
        Test("symbolic", f"(a) {name}: entries of a token that never occurs", zero, right, mutants=zeros),
        Test("symbolic", f"(b) {name}: sign for a token that never follows", positive, right, mutants=opposite | wrong),
        Test("symbolic", f"(c) {name}: sign of the limit for a token that follows", limit, right, mutants=opposite),
        Test("symbolic", f"{name}: the closed form", closed, right, mutants=wrong),
    )


def zero(gradient: Gradient) -> Outcome:
    """(a) With no counts in the contexts of a row's token, every entry of the row is 0. With counts, none is."""
    left = [gradient.entry(r, b).xreplace(gradient.without(r, *range(TOKENS))) for r, b in ENTRIES]
    return every([each == 0 for each in left], nontrivial=[gradient.entry(r, b) != 0 for r, b in ENTRIES])


def positive(gradient: Gradient) -> Outcome:
    """(b) A token that occurs and is never followed by k: the entry is positive."""

    def entry(row: int, k: int) -> Expression:
        value = gradient.entry(row, k).xreplace(gradient.without(row, k)).xreplace(gradient.once(row, (k + 1) % TOKENS))
        return exact.inverted(value, gradient.exponentials(row, k)[0])

    return nonnegative([entry(row, k) for row, k in ENTRIES], strictly=True)


def limit(gradient: Gradient) -> Outcome:
    """(c) A token that is followed by k: the entry tends to a negative number as its own weight falls."""

    def entry(row: int, k: int) -> Expression:
        value = gradient.entry(row, k).xreplace(gradient.once(row, k))
        value = exact.inverted(value, gradient.exponentials(row, (k + 1) % TOKENS)[0])
        return -value.xreplace({each: sympy.Integer(0) for each in gradient.exponentials(row, k)[1]})

    return nonnegative([entry(row, k) for row, k in ENTRIES], strictly=True)


def closed(gradient: Gradient) -> Outcome:
    """The entry is the sum of x (N_c p(k | c) - N_ck) over the row's contexts c, with x = 1 in the first step."""
    return same([(gradient.entry(row, k), gradient.formula(row, k)) for row, k in ENTRIES])
