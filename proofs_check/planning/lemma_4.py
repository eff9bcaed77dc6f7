"""Lemma 4: the differential of L2, and that it does not reach Layer 2 (gradient decoupling)."""

import jax
import numpy as np
from numpy import ndarray

from proofs_check.ledger import Findings, Outcome, Test, at_most
from proofs_check.methods import cases, gradients
from proofs_check.methods.cases import Case, Prompt, jacobian
from proofs_check.methods.gradients import Formula, against_literal, library_agrees, objective_agrees


def differential() -> Findings:
    """dL2 = -(1/(f2 . e)) (z_T^T dW0^(1) Z^T + dW1^(1)[T]) J(S1[T]) Z e, along a random direction."""
    d_content, d_position = (np.asarray(block) for block in cases.direction()[0])

    def along(d_w0: ndarray, d_row: ndarray) -> Formula:
        def printed(case: Case) -> float:
            z, e, _, _, s1, _ = case.symbols
            return -(z[-1] @ d_w0 @ z.T + d_row) @ jacobian(s1[-1]) @ z @ e / case.symbols.f2

        return printed

    mutants = {
        "without the content term": along(0 * d_content, d_position[-1]),
        "without the position term": along(d_content, 0 * d_position[-1]),
        "content weight transposed": along(d_content.T, d_position[-1]),
        "row T - 1 of dW1": along(d_content, d_position[-2]),
    }
    measure, printed = against_literal(cases.goal(), lambda model: gradients.along(model.shallow)), d_position[-1]
    name = "dL2 along a random direction"
    test = Test("autodiff", name, measure, printed=along(d_content, printed), mutants=mutants)
    truth = [gradients.along(case.literal.shallow) for case in cases.goal()]
    return Findings((test,), (library_agrees("shallow_differential", gradients.library()["differential"], truth),))


def decoupling() -> Findings:
    """No gradient of L2 reaches Layer 2: it is exactly zero there, and f2 does not change when Layer 2 is replaced."""
    goal = cases.goal()
    first, second = cases.weights()
    tokens, _, y2 = cases.prompts()
    replaced = cases.evaluate((first, jax.tree.map(lambda leaf: leaf[::-1], second)), Prompt(tokens, y2))

    def in_layer_2(head: str) -> Outcome:
        """Measure the gradient of the loss of that head."""
        layers = [getattr(case.literal, head)[1] for case in goal]
        moves_layer_1 = [bool(np.any(getattr(case.literal, head)[0].position)) for case in goal]
        return at_most([np.abs([layer.content, layer.position]) for layer in layers], 0.0, nontrivial=moves_layer_1)

    def change_of_output(layer: int) -> Outcome:
        before, after = ([case.literal.outputs[layer - 1] for case in each] for each in (goal, replaced))
        return at_most(np.abs(np.array(before) - np.array(after)), 0.0)

    deep, change = "the deep head in its place", "|change of f2 for new Layer-2 weights|"
    return Findings(
        (
            Test("autodiff", "|gradient of L2 in Layer 2|", in_layer_2, printed="shallow", mutants={deep: "deep"}),
            Test("simulated", change, change_of_output, printed=1, mutants={deep: 2}),
        ),
        (objective_agrees("goal", lambda g: np.concatenate([block for layer in g for block in layer], axis=-1)),),
    )
