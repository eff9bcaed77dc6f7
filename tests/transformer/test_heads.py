"""Losses of the prediction heads against a loop over positions: values, gradients and the memory they need."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.transformer.heads import head_losses
from tests.cases import assert_close
from tests.transformer.naive_transformer import naive_head_losses

N, D, V = 7, 5, 6


def case(heads: int = 3, seed: int = 0):
    """Final stream, kernels, targets, and the mask of positions: the last head has few."""
    rng = np.random.default_rng(seed)
    final, kernels = rng.normal(size=(N, D)), rng.normal(size=(heads, D, V))
    targets = rng.integers(0, V, (heads, N)).astype(np.int32)
    mask = rng.random((heads, N)) < np.linspace(0.9, 0.3, heads)[:, None]
    return tuple(jnp.asarray(array) for array in (final, kernels, targets, mask))


def all_at_once(final, kernels, targets, mask):
    """The plain way: the logits of all heads [k, n, V] side by side."""
    log_p = jax.nn.log_softmax(jnp.einsum("nd,kdv->knv", final, kernels), axis=-1)
    return -jnp.sum(jnp.where(mask, jnp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0], 0), axis=1)


@pytest.mark.parametrize("heads", [1, 3])
def test_losses_are_the_naive_loop(heads):
    final, kernels, targets, mask = case(heads)
    truth = naive_head_losses(*(np.asarray(array) for array in (final, kernels, targets, mask)))
    assert 0 < int(mask.sum()) < mask.size
    assert_close(head_losses(final, kernels, targets, mask), np.array(truth), atol=1e-12)
    assert_close(all_at_once(final, kernels, targets, mask), np.array(truth), atol=1e-12)


def test_gradients_are_those_of_the_plain_way_leaf_by_leaf():
    final, kernels, targets, mask = case()
    weights = jnp.asarray([1.0, -2.0, 0.5])

    def gradient(losses):
        weighted = jax.grad(lambda f, w: jnp.dot(weights, losses(f, w, targets, mask)), (0, 1))
        return jax.jit(weighted)(final, kernels)

    ours = gradient(head_losses)
    assert all(float(jnp.max(jnp.abs(leaf))) > 0.1 for leaf in ours)
    assert_close(ours, gradient(all_at_once), atol=1e-12)


def test_gradients_are_probabilities_minus_targets():
    """∂/∂final = Σ_m (p_m - e_target) W_mᵀ, by hand, at one position of one head."""
    final, kernels, targets, _ = case(heads=1)
    mask = jnp.zeros((1, N), bool).at[0, 2].set(True)
    gradient = jax.grad(lambda f: head_losses(f, kernels, targets, mask)[0])(final)
    p = np.exp(np.asarray(final[2] @ kernels[0]))
    p = p / p.sum() - np.eye(V)[targets[0, 2]]
    truth = np.zeros((N, D))
    truth[2] = np.asarray(kernels[0]) @ p
    assert_close(gradient, truth, atol=1e-13)


def test_an_empty_mask_gives_a_loss_and_gradients_of_zero():
    final, kernels, targets, _ = case()
    none = jnp.zeros(targets.shape, bool)
    losses, pull = jax.vjp(lambda f, w: head_losses(f, w, targets, none), final, kernels)
    assert_close((losses, *pull(jnp.ones(3))), (jnp.zeros(3), jnp.zeros_like(final), jnp.zeros_like(kernels)), atol=0)


def test_a_head_reads_its_own_kernel_targets_and_mask():
    final, kernels, targets, mask = case()
    each = [head_losses(final, *(a[m : m + 1] for a in (kernels, targets, mask)))[0] for m in range(3)]
    assert_close(head_losses(final, kernels, targets, mask), jnp.stack(each), atol=1e-13)


def test_softmax_is_float32_at_least_and_does_not_overflow():
    """A uniform head costs log V a position; a sure one costs nothing, however large its logits."""
    final, targets, mask = jnp.ones((4, 1), jnp.bfloat16), jnp.zeros((2, 4), jnp.int32), jnp.ones((2, 4), bool)
    sure = jnp.full((1, V), -1e4).at[0, 0].set(1e4)
    losses = head_losses(final, jnp.stack([jnp.zeros((1, V)), sure]).astype(jnp.float32), targets, mask)
    assert losses.dtype == jnp.float32
    assert_close(losses, np.array([4 * math.log(V), 0.0]), atol=1e-5)


def test_memory_is_that_of_one_head_whatever_k_is():
    """The compiler's own count of temporary memory, so no clock and no machine enters."""
    one, eight = _temporary(head_losses, 1), _temporary(head_losses, 8)
    logits = 512 * 4096 * 4
    assert logits <= one < 8 * logits
    assert eight < 1.1 * one
    # Control: what the plain way needs grows with k.
    assert _temporary(all_at_once, 8) > 4 * max(eight, _temporary(all_at_once, 1))


def _temporary(losses, heads: int, n: int = 512, d: int = 8, vocab: int = 4096) -> int:
    """Bytes of temporary memory that value and gradient of the losses of k heads need."""
    gradient = jax.jit(jax.grad(lambda final, kernels, *rest: jnp.sum(losses(final, kernels, *rest)), (0, 1)))
    shapes = [((n, d), jnp.float32), ((heads, d, vocab), jnp.float32), ((heads, n), jnp.int32), ((heads, n), jnp.bool)]
    analysis = gradient.lower(*(jax.ShapeDtypeStruct(*shape) for shape in shapes)).compile().memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes
