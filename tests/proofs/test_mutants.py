"""A changed sign, transpose or index in any gradient of the library turns the ledger red.

Each mutant is a copy of the packages with one expression changed, and ``circuits verify`` run on the claims that
speak of it. Slow: `make test-slow`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEEP, SHALLOW = "circuits/disentangled/deep_head.py", "circuits/disentangled/shallow_head.py"
OBJECTIVE = "circuits/disentangled/objective.py"
CLOSED, LOSSES = "circuits/disentangled/closed_form.py", "circuits/disentangled/losses.py"
MUTANTS = {
    "deep_paths, sign of (i)": (DEEP, "-(s1[-1] @ d_scores_2 @", "(s1[-1] @ d_scores_2 @", "lemma-2.*"),
    "deep_paths, transpose in (ii)": (DEEP, "d_attention_1[-1] @ a2 @", "d_attention_1[-1] @ a2.T @", "lemma-2.*"),
    "deep_paths, row of (ii)": (DEEP, "-(d_attention_1[-1]", "-(d_attention_1[-2]", "lemma-2.*"),
    "deep_paths, transpose in (iii)": (DEEP, "(s2 @ d_attention_1 @ hit)", "(hit @ d_attention_1 @ s2)", "lemma-2.*"),
    "deep_attention_1, sign": (DEEP, "-(by_value + by_query) / f", "(by_value + by_query) / f", "lemma-3.attention-1"),
    "deep_attention_1, transpose": (DEEP, "jnp.outer(s2, hit)", "jnp.outer(hit, s2)", "lemma-3.attention-1"),
    "deep_attention_1, row": (DEEP, ".at[-1].set(a2 @", ".at[-2].set(a2 @", "lemma-3.attention-1"),
    "softmax_rows_gradient, transpose": (DEEP, "(attention, upstream)", "(attention, upstream.T)", "lemma-3.logits-1"),
    "jacobian_product, sign": (DEEP, "s * (centred - s @ centred)", "s * (centred + s @ centred)", "lemma-3.logits-1"),
    "deep_logits_1, sign": (DEEP, "s1 * rho[:, None] - pi", "pi - s1 * rho[:, None]", "lemma-3.*-1"),
    "deep_logits_1, transpose": (DEEP, "s1 * rho[:, None] - pi", "s1 * rho[None, :] - pi", "lemma-3.*-1"),
    "deep_logits_1, row": (DEEP, "value_path.at[-1].add", "value_path.at[0].add", "lemma-3.*-1"),
    "deep_content_1, transpose": (
        DEEP,
        "return by_labels(deep_logits_1(acts, tokens, target),",
        "return by_labels(deep_logits_1(acts, tokens, target).T,",
        "lemma-3.content-1",
    ),
    "deep_position_1, sign": (
        DEEP,
        "return deep_logits_1(acts, tokens, target)",
        "return -deep_logits_1(acts, tokens, target)",
        "lemma-3.position-1",
    ),
    "deep_content_2, transpose": (DEEP, "jnp.outer(query, key)", "jnp.outer(key, query)", "lemma-3.content-2"),
    "deep_content_2, row": (
        DEEP,
        "query = by_label(acts.attention[0][-1]",
        "query = by_label(acts.attention[0][-2]",
        "lemma-3.content-2",
    ),
    "deep_position_2, transpose": (
        DEEP,
        "return jnp.outer(acts.attention[0][-1], deep_query_logits(acts, tokens, target))",
        "return jnp.outer(deep_query_logits(acts, tokens, target), acts.attention[0][-1])",
        "lemma-3.position-2",
    ),
    "deep_loss_and_gradient, sign": (
        DEEP,
        "Layer(deep_content_1(acts, tokens, target), deep",
        "Layer(-deep_content_1(acts, tokens, target), deep",
        "lemma-3.content-1",
    ),
    "deep_loss_and_gradient, transpose": (
        DEEP,
        "Layer(deep_content_2(acts, tokens, target), deep",
        "Layer(deep_content_2(acts, tokens, target).T, deep",
        "lemma-3.content-2",
    ),
    "shallow_loss_and_gradient, sign": (
        SHALLOW,
        "Layer(shallow_content_1(acts, tokens, target), shallow_position_1",
        "Layer(shallow_content_1(acts, tokens, target), -shallow_position_1",
        "lemma-5.position-1",
    ),
    "objective, contexts swapped": (OBJECTIVE, "for i in (0, 1))", "for i in (1, 0))", "lemma-3.position-1"),
    "multi_token, sign of L1b": (
        OBJECTIVE,
        "jax.tree.map(multi_token_loss, *self.gradients)",
        "jax.tree.map(lambda a, b, c: multi_token_loss(a, -b, c), *self.gradients)",
        "corollary-1.gradient",
    ),
    "deep_position_2, row": (
        DEEP,
        "return jnp.outer(acts.attention[0][-1]",
        "return jnp.outer(acts.attention[0][-2]",
        "lemma-3.position-2",
    ),
    "deep_position_2, sign": (
        DEEP,
        "return jnp.outer(acts.attention[0][-1]",
        "return -jnp.outer(acts.attention[0][-1]",
        "lemma-3.position-2",
    ),
    "deep_query_logits, sign": (DEEP, "sum_to_zero(s2 - rho, s2)", "sum_to_zero(rho - s2, s2)", "lemma-3.*-2"),
    "by_labels, transpose": (
        DEEP,
        ".at[tokens[:, None], tokens[None, :]]",
        ".at[tokens[None, :], tokens[:, None]]",
        "lemma-3.content-1",
    ),
    "sum_to_zero, sign": (DEEP, "-jnp.sum(others), others)", "jnp.sum(others), others)", "lemma-3.*-2"),
    "shallow_differential, sign": (SHALLOW, "return -(d_logits @", "return (d_logits @", "lemma-4.*"),
    "shallow_differential, transpose": (
        SHALLOW,
        "d_content_1[tokens[-1], tokens]",
        "d_content_1[tokens, tokens[-1]]",
        "lemma-4.*",
    ),
    "shallow_differential, row": (SHALLOW, "d_position_1[-1]", "d_position_1[-2]", "lemma-4.*"),
    "shallow_content_1, row": (SHALLOW, ".at[tokens[-1]].set(key)", ".at[tokens[-2]].set(key)", "lemma-5.*"),
    "shallow_content_1, transpose": (SHALLOW, ".set(key)", ".set(key).T", "lemma-5.*"),
    "shallow_position_1, sign": (SHALLOW, ".at[-1].set(shallow", ".at[-1].set(-shallow", "lemma-5.*"),
    "shallow_position_1, row": (SHALLOW, ".at[-1].set(shallow", ".at[-2].set(shallow", "lemma-5.*"),
    "shallow_query_logits, sign": (SHALLOW, "s - posterior, s", "posterior - s, s", "lemma-5.*"),
    "forward, order of the product": (CLOSED, "read[rows] @ score", "score[rows] @ read", "lemma-1.*"),
    "forward, mask": (CLOSED, "jnp.tril(", "jnp.triu(", "lemma-1.forward"),
    "content_scores, transpose": (
        CLOSED,
        "content[tokens[:, None], tokens[None, :]]",
        "content[tokens[None, :], tokens[:, None]]",
        "lemma-1.*",
    ),
    "multi_token_loss, weight": (
        LOSSES,
        "(next_token_loss(plan, replay) + goal)",
        "(plan + replay + goal)",
        "corollary-1.*",
    ),
    "ball, layer-2 factors": ("proofs_check/ball.py", "p * (9 + places", "p * (7 + places", "corollary-1.attention"),
    "ball, query path": (
        "proofs_check/ball.py",
        "pulled[T - 2] -= signal",
        "pulled[T - 2] += signal",
        "corollary-*.gradient",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_the_ledger_turns_red(tmp_path, name):
    file, old, new, claims = MUTANTS[name]
    for package in ("circuits", "proofs_check"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    source = (tmp_path / file).read_text()
    assert old in source, f"{file} no longer holds {old!r}"
    (tmp_path / file).write_text(source.replace(old, new, 1))
    command = [sys.executable, "-m", "proofs_check", "--only", claims]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗" in done.stdout


@pytest.mark.slow
def test_the_unchanged_copy_is_green(tmp_path):
    for package in ("circuits", "proofs_check"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "proofs_check", "--only", "lemma-3.*"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
