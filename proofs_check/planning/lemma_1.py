"""Definition 2 and Lemma 1: the width of the weights, and the closed form against the literal model."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from numpy import ndarray

from circuits.disentangled import literal
from circuits.disentangled.weights import Layer
from proofs_check.ledger import CrossCheck, Findings, Outcome, Test, equal
from proofs_check.methods import cases, gradients, star
from proofs_check.methods.cases import Case, masked, softmax
from proofs_check.methods.gradients import Formula, against_literal, library_agrees
from proofs_check.methods.star import N, T

BASE = N + T
DEPTHS = (1, 2, 3, 4)


class Placement(NamedTuple):
    """Whether Eq. 4's blocks read queries, and keys, from the last attention output or from the original tokens."""

    query_attended: bool
    key_attended: bool

    def full(self, layer: Layer, number: int) -> ndarray:
        """Return W^(l), as wide as the stream of layer l = ``number``: Eq. 4's blocks, and zeros elsewhere."""
        width = 2 ** (number - 1) * BASE
        row, column = (width // 2 if attended and number > 1 else 0 for attended in self)
        weight = np.zeros((width, width))
        weight[row : row + N, column : column + N] = layer.content
        weight[row + N : row + BASE, column + N : column + BASE] = layer.position
        return weight


AS_PRINTED, FOOTNOTE_2 = Placement(False, False), Placement(True, False)
OTHERS = {
    "query at the tokens, key at the attention output": Placement(False, True),
    "query and key at the attention output": Placement(True, True),
}


class Step(NamedTuple):
    """One layer of Definition 2: X^(l-1) W^(l) X^(l-1)^T, S^(l), and attn(X^(l-1); W^(l))."""

    logits: ndarray
    attention: ndarray
    attended: ndarray


def definition(layers: tuple[Layer, ...], tokens: ndarray, placement: Placement) -> Iterator[Step]:
    """Yield Definitions 1 and 2 layer by layer, with W^(l) as placed."""
    stream = np.concatenate([np.eye(N)[tokens], np.eye(T)], axis=1)
    for number, layer in enumerate(layers, start=1):
        logits = stream @ placement.full(layer, number) @ stream.T
        attention = softmax(masked(logits))
        yield Step(logits, attention, attention @ stream)
        stream = np.concatenate([stream, attention @ stream], axis=1)


def dimensions() -> Findings:
    """Eq. 4 gives W^(l) the width N + T; the stream X^(l-1) that it multiplies has width 2^(l-1) (N + T)."""
    draw = np.random.default_rng(3).standard_normal
    tokens = cases.prompts()[0][:: star.DRAWS]
    deep = [tuple(cases.layer(draw((N, N)), draw((T, T))) for _ in DEPTHS) for _ in range(len(tokens))]
    streams = jax.eval_shape(literal.forward, deep[0], tokens[0]).streams

    def fits(widths: tuple[int, ...]) -> Outcome:
        return equal(np.array(widths), np.array([stream.shape[1] for stream in streams[:-1]]))

    def factorises(placement: Placement) -> Outcome:
        logits, expected = [], []
        for layers, prompt in zip(deep, tokens, strict=True):
            z, before = np.eye(N)[prompt], np.eye(T)
            for layer, step in zip(layers, definition(layers, prompt, placement), strict=True):
                logits.append(step.logits)
                expected.append(before @ (z @ layer.content @ z.T + layer.position))
                before = step.attention
        return equal(logits, expected)

    def library_places(placement: Placement) -> Outcome:
        ours = [placement.full(layer, l) for l, layer in enumerate(deep[0], start=1)]
        return equal(ours, [literal.place_blocks(layer, index) for index, layer in enumerate(deep[0])])

    wrong_widths = {
        "a stream that grows by N + T a layer": tuple(l * BASE for l in DEPTHS),
        "d_l = 2 d_{l-1} from d_1 = N + T": (BASE, *(2 ** (l - 2) * BASE for l in DEPTHS[1:])),
    }
    printed, amended = (len(literal.block_diagonal(layer)) for layer in deep[0]), (2 ** (l - 1) * BASE for l in DEPTHS)
    width = "width of W^(l) = width of X^(l-1), layers 1 to 4"
    logits = "X^(l-1) W^(l) X^(l-1)^T = S^(l-1) (Z W0 Z^T + W1), layers 1 to 4"
    wrong = {"query and key at the tokens": AS_PRINTED, **OTHERS}
    return Findings(
        (
            Test("exact", width, fits, printed=tuple(printed), amended=tuple(amended), mutants=wrong_widths),
            Test("simulated", logits, factorises, amended=FOOTNOTE_2, intended=FOOTNOTE_2, mutants=wrong),
        ),
        (CrossCheck("literal.place_blocks = W^(l) by footnote 2", library_places, FOOTNOTE_2, OTHERS),),
        f"With N = T = {N}, W^(2) of Eq. 4 is {BASE} x {BASE}, but X^(1) has {2 * BASE} columns, so that "
        f"X^(1) W^(2) X^(1)^T is not defined; at Layers 3 and 4 the stream has {4 * BASE} and {8 * BASE} columns.",
    )


def forward() -> Findings:
    """f1 = S2[T] S1 Z and f2 = S1[T] Z against Definitions 1 and 2, and against the model that footnote 2 describes.

    As printed, Layer 2 is not defined (``dimensions``). The nearest definition pads Eq. 4 with zeros where it stands,
    in the leading block.
    """
    plan, layers = cases.plan(), cases.weights()

    def by_definition(placement: Placement) -> Outcome:
        heads = [_heads(jax.tree.map(lambda a, n=n: a[n], layers), c.tokens, placement) for n, c in enumerate(plan)]
        return equal([_closed(case) for case in plan], heads)

    def with_deep_head(case: Case, s1: ndarray, a2: ndarray) -> tuple[ndarray, ndarray]:
        return _closed(case)[0], softmax(s1[-1] @ a2) @ s1 @ case.symbols.z

    wrong = {
        "S1 S2 in place of S2 S1": lambda c: (_closed(c)[0], (c.symbols.s1 @ _s2(c) @ c.symbols.z)[-1]),
        "A1 in place of A2": lambda c: with_deep_head(c, c.symbols.s1, c.symbols.a1),
        "no causal mask": lambda c: with_deep_head(c, softmax(c.symbols.a1), c.symbols.a2),
    }
    heads = "f1 and f2 in closed form = the heads of Definitions 1 and 2, by where Eq. 4's blocks are placed"
    model = "heads in closed form = those of a model whose queries come from the attention output"
    outputs = against_literal(plan, lambda model: model.outputs)
    literal_outputs = [np.concatenate(case.literal.outputs) for case in plan]
    return Findings(
        (
            Test("simulated", heads, by_definition, printed=AS_PRINTED, amended=FOOTNOTE_2, mutants=OTHERS),
            Test("simulated", model, outputs, intended=_closed, mutants=wrong),
        ),
        (library_agrees("closed_form.forward, outputs", gradients.library()["outputs"], literal_outputs),),
        _outputs_of_the_example(),
    )


def layer_2_logits() -> Findings:
    """The proof's chain: Layer-2 logits = S1 (Z W0^(2) Z^T + W1^(2)) = S1 A^(1). The last index must be 2."""
    wrong = {
        "A2 S1": lambda c: c.symbols.a2 @ c.symbols.s1,
        "S1^T A2": lambda c: c.symbols.s1.T @ c.symbols.a2,
        "A2 alone": lambda c: c.symbols.a2,
    }

    def printed(c: Case) -> ndarray:
        return c.symbols.s1 @ c.symbols.a1

    def amended(c: Case) -> ndarray:
        return c.symbols.s1 @ c.symbols.a2

    def recursion(formula: Formula) -> Outcome:
        return attention(lambda case: softmax(masked(formula(case))))

    attention = against_literal(cases.deep(), lambda model: model.attention[1])
    logits = against_literal(cases.deep(), lambda model: model.logits_2)
    name, step = "S1 A^(1) = Layer-2 logits X^(1) W^(2) X^(1)^T", "S2 = softmax(MASK(S1 A2))"
    case, truth = cases.example(), [case.literal.logits_2 for case in cases.plan()]
    return Findings(
        (
            Test("simulated", name, logits, printed=printed, amended=amended, mutants=wrong),
            Test("simulated", step, recursion, intended=amended, mutants={"S1 A1": printed, **wrong}),
        ),
        (library_agrees("closed_form.forward, Layer-2 logits", gradients.library()["logits_2"], truth),),
        f"On {list(star.EXAMPLE)} with the weights of Corollary 1 at gamma = 1 the logit of query T and key 4, counted "
        f"from 1, is {printed(case)[-1, 3]:.6f} by S1 A^(1), {amended(case)[-1, 3]:.6f} by S1 A^(2), and "
        f"{case.literal.logits_2[-1, 3]:.6f} in the literal model.",
    )


def _closed(case: Case) -> tuple[ndarray, ndarray]:
    """Return f2 = S1[T] Z, then f1 = S2[T] S1 Z."""
    s = case.symbols
    return s.s1[-1] @ s.z, s.s2 @ s.s1 @ s.z


def _s2(case: Case) -> ndarray:
    return softmax(masked(case.symbols.s1 @ case.symbols.a2))


def _heads(layers: tuple[Layer, ...], tokens: ndarray, placement: Placement) -> tuple[ndarray, ndarray]:
    """Return f2 and f1: the labels of the last attention output of Layers 1 and 2, at the last position."""
    one, two = definition(layers, tokens, placement)
    return one.attended[-1, :N], two.attended[-1, BASE : BASE + N]


def _outputs_of_the_example() -> str:
    tokens, y1 = np.array(star.EXAMPLE), star.EXAMPLE_PATH[1]
    footnote, padded = (_heads(cases.circuit(3.0), tokens, placement)[1][y1] for placement in (FOOTNOTE_2, AS_PRINTED))
    return (
        f"On {list(star.EXAMPLE)} with the weights of Corollary 1 at gamma = 3, f1 gives the next token {y1} "
        f"probability {footnote:.6f} with the blocks placed by footnote 2, which is the closed form, and {padded:.6f} "
        "with Eq. 4 padded where it stands."
    )
