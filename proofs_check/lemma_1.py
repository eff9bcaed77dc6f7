"""Definition 2 and Lemma 1: the width of the weights, and the closed form against the literal model."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import Array

from circuits.disentangled import literal
from circuits.disentangled.circuit import circuit
from circuits.disentangled.closed_form import Activations
from circuits.disentangled.closed_form import forward as closed_forward
from circuits.disentangled.weights import Weights, random
from proofs_check import setting
from proofs_check.evidence import Control, Evidence, Findings, Of, decided, identity
from proofs_check.setting import Case, Formula

BASE = setting.N + setting.T
DEPTHS = (1, 2, 3, 4)


def dimensions() -> Findings:
    """Eq. 4 gives W^(l) the width N + T; the stream X^(l-1) that it multiplies has width 2^(l-1) (N + T).

    The correction places the same blocks in a d_{l-1} x d_{l-1} matrix: queries where the last attention output
    begins, keys at the original tokens (footnote 2).
    """
    tokens, _, _ = setting.example()
    weights = random(jax.random.key(2), max(DEPTHS), setting.N, setting.T)
    streams = literal.forward(weights, tokens).streams
    widths = {number: streams[number - 1].shape[1] for number in DEPTHS}
    blocks = {number: len(literal.block_diagonal(weights[number - 1])) for number in DEPTHS}
    placed = {number: len(literal.placed(weights[number - 1], number)) for number in DEPTHS}

    def fit(of: Of, quantity: str, sizes: Mapping[int, int]) -> Evidence:
        misfits = [f"layer {l}: {sizes[l]} for {widths[l]}" for l in DEPTHS if sizes[l] != widths[l]]
        return decided("exact", quantity, not misfits, len(DEPTHS), of=of, detail="; ".join(misfits))

    return Findings(
        (
            fit("printed", "width of Eq. 4's matrix = width of the stream, layers 1 to 4", blocks),
            fit("amended", "width of the placed matrix = width of the stream, layers 1 to 4", placed),
            fit("amended", "2^(l-1) (N + T) = width of the stream", {l: 2 ** (l - 1) * BASE for l in DEPTHS}),
        ),
        (
            Control(
                "a stream that grows by N + T a layer",
                fit("printed", "l (N + T) = width of the stream", {l: l * BASE for l in DEPTHS}),
            ),
            Control(
                "d_l = 2 d_{l-1} from d_1 = N + T",
                fit("printed", "2^(l-2) (N + T) = width", {l: BASE if l == 1 else 2 ** (l - 2) * BASE for l in DEPTHS}),
            ),
        ),
        f"With N = T = {setting.N}, W^(2) of Eq. 4 is {blocks[2]} x {blocks[2]}, but X^(1) has {widths[2]} columns, "
        "so X^(1) W^(2) X^(1)^T is not defined; at layers 3 and 4 the stream has "
        f"{widths[3]} and {widths[4]} columns.",
    )


def forward() -> Findings:
    """f1 = S2[T] S1 Z and f2 = S1[T] Z against the literal model, in the paper's setting and to depth 4.

    Printed, Layer 2 has no meaning (``dimensions``); Eq. 4 padded with zeros where it stands, at the leading
    block, is the nearest thing that has, and its f1 is another function. With the blocks where footnote 2
    wants them the closed form is exact. The other places are controls.
    """
    cases = setting.deep_cases()

    def closed(weights: Weights, tokens: Array, _: Array) -> tuple[Array, ...]:
        return closed_forward(weights, tokens).outputs

    def swapped(weights: Weights, tokens: Array, _: Array) -> tuple[Array, ...]:
        acts = closed_forward(weights, tokens)
        z = jax.nn.one_hot(tokens, setting.N, dtype=acts.attention[0].dtype)
        return acts.outputs[0], (acts.attention[0] @ acts.attention[1] @ z)[-1]

    def unmasked(weights: Weights, tokens: Array, _: Array) -> tuple[Array, ...]:
        z = jax.nn.one_hot(tokens, setting.N, dtype=weights[0].content.dtype)
        a1, a2 = (z @ layer.content @ z.T + layer.position for layer in weights)
        s1 = jax.nn.softmax(a1, axis=1)
        return s1[-1] @ z, (jax.nn.softmax(s1 @ a2, axis=1) @ s1 @ z)[-1]

    found = setting.evaluate(
        {
            "closed": closed,
            "swapped": swapped,
            "unmasked": unmasked,
            "footnote 2": lambda w, tokens, _: literal.forward(w, tokens).outputs,
            "query and key at the tokens": _two_layers_placed(0, 0),
            "query at the tokens, key at the attention output": _two_layers_placed(0, BASE),
            "query and key at the attention output": _two_layers_placed(BASE, BASE),
        },
        cases,
    )

    def compared(ours: str, truth: str, of: Of, quantity: str) -> Evidence:
        return identity("simulated", quantity, setting.gap(found[ours], found[truth]), setting.count(cases), of=of)

    against = "max |closed form - literal f1, f2|, "
    wrong_places = (
        "query at the tokens, key at the attention output",
        "query and key at the attention output",
    )
    return Findings(
        (
            decided("exact", "Eq. 4's product X^(1) W^(2) X^(1)^T is defined", _layer_2_is_defined(), 1),
            compared("closed", "query and key at the tokens", "printed", against + "Eq. 4 padded as it stands"),
            compared("closed", "footnote 2", "amended", against + "blocks placed by footnote 2"),
            _deeper(),
        ),
        (
            *(Control(place, compared("closed", place, "printed", against + place)) for place in wrong_places),
            Control("S1 S2 in place of S2 S1", compared("swapped", "footnote 2", "printed", against + "swapped")),
            Control("no causal mask", compared("unmasked", "footnote 2", "printed", against + "no mask")),
        ),
        _outputs_of_the_example(),
    )


def layer_2_logits() -> Findings:
    """The proof's chain: Layer-2 logits = S1 (Z W0^(2) Z^T + W1^(2)) = S1 A^(1). The last index must be 2."""

    def oracle(weights: Weights, tokens: Array, _: Array) -> Array:
        stream = literal.forward(weights, tokens).streams[1]
        return stream @ literal.placed(weights[1], 2) @ stream.T

    def in_terms_of(combine: Callable[[Array, Array, Array], Array]) -> Formula:
        def formula(weights: Weights, tokens: Array, _: Array) -> Array:
            acts = closed_forward(weights, tokens)
            return combine(acts.attention[0], *acts.scores)

        return formula

    cases = setting.deep_cases()
    formulas: dict[str, Formula] = {
        "S1 A1": in_terms_of(lambda s1, a1, a2: s1 @ a1),
        "library": lambda weights, tokens, _: closed_forward(weights, tokens).logits[1],
        "S1 A2": in_terms_of(lambda s1, a1, a2: s1 @ a2),
        "A2 S1": in_terms_of(lambda s1, a1, a2: a2 @ s1),
        "S1^T A2": in_terms_of(lambda s1, a1, a2: s1.T @ a2),
        "A2 alone": in_terms_of(lambda s1, a1, a2: a2),
    }
    found = setting.evaluate({"oracle": oracle, **formulas}, cases)

    def compared(name: str, of: Of = "printed") -> Evidence:
        quantity = f"max |{name} - literal Layer-2 logits|"
        return identity("simulated", quantity, setting.gap(found[name], found["oracle"]), setting.count(cases), of=of)

    return Findings(
        (compared("S1 A1"), compared("S1 A2", "amended"), compared("library", "amended")),
        tuple(Control(name, compared(name)) for name in ("A2 S1", "S1^T A2", "A2 alone")),
        f"On random weights S1 A^(1) differs from the literal Layer-2 logits by up to "
        f"{setting.gap(found['S1 A1'], found['oracle']):.3f} relative to max(1, |logit|); S1 A^(2) is equal.",
    )


def _two_layers_placed(query_at: int, key_at: int) -> Formula:
    """The heads of a literal two-layer model whose Layer-2 blocks stand at the given rows and columns."""

    def outputs(weights: Weights, tokens: Array, _: Array) -> tuple[Array, Array]:
        _, attended = literal.attn(literal.embed(tokens, setting.N), literal.placed(weights[0], 1))
        stream = jnp.concatenate([literal.embed(tokens, setting.N), attended], axis=1)
        _, attended_2 = literal.attn(stream, literal.placed(weights[1], 2, query_at, key_at))
        return attended[-1, : setting.N], attended_2[-1, BASE : BASE + setting.N]

    return outputs


def _outputs_of_the_example() -> str:
    tokens, y1, _ = setting.example()
    weights = circuit(3.0, setting.N, setting.T)
    outputs = jax.jit(
        lambda: (
            closed_forward(weights, tokens).outputs,
            literal.forward(weights, tokens).outputs,
            _two_layers_placed(0, 0)(weights, tokens, y1),
        )
    )()
    closed, footnote, padded = (float(heads[1][y1]) for heads in outputs)
    return (
        f"On {list(setting.EXAMPLE)} with the weights of Corollary 1 at gamma = 3, f1 gives the next token {int(y1)} "
        f"probability {closed:.6f} in closed form, {footnote:.6f} in the literal model with blocks placed by "
        f"footnote 2, and {padded:.6f} with Eq. 4 padded as it stands."
    )


def _deeper() -> Evidence:
    """Heads and attention at depth 4. Those of layers 1 to 3 are the ones of the shallower models."""
    prompt = setting.deep_cases().prompt
    keys = jax.random.split(jax.random.key(4), len(prompt.target))
    weights = jax.vmap(lambda key: random(key, max(DEPTHS), setting.N, setting.T))(keys)
    found = setting.evaluate(
        {
            "closed": lambda w, tokens, _: _heads_and_attention(closed_forward(w, tokens)),
            "literal": lambda w, tokens, _: _heads_and_attention(literal.forward(w, tokens)),
        },
        Case(weights, prompt),
    )
    quantity = "max |closed form - literal|, heads and attention of layers 1 to 4"
    gap = setting.gap(found["closed"], found["literal"])
    return identity("simulated", quantity, gap, len(prompt.target), of="amended")


def _layer_2_is_defined() -> bool:
    """Whether Eq. 4's own matrix at Layer 2 is as wide as the stream that it multiplies."""
    tokens, _, _ = setting.example()
    weights = random(jax.random.key(2), 2, setting.N, setting.T)
    return len(literal.block_diagonal(weights[1])) == literal.forward(weights, tokens).streams[1].shape[1]


def _heads_and_attention(acts: Activations | literal.LiteralActivations) -> tuple:
    return acts.outputs, acts.attention
