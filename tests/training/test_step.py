"""One step: the loss by loops, the gradient in parts, the optimiser by hand, and mixed precision."""

import math
from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from circuits.one_layer.counts import count_contexts
from circuits.one_layer.losses import step_losses
from circuits.one_layer.module import OneLayer
from circuits.tasks.task import build_task
from circuits.tasks.walks.config import DagConfig, DagWalks
from circuits.training.config import ObjectiveConfig, OptimiserConfig
from circuits.training.shapes import first_position, transformer_config
from circuits.training.step import State, adamw, initial_state, loss_and_gradient, model_of, update
from circuits.transformer.config import Architecture
from circuits.transformer.objectives import target_shares
from tests.cases import assert_close
from tests.transformer.naive_transformer import naive_logits

WEIGHTS = (0.5, 2.0)
OBJECTIVES = {
    "ntp": ObjectiveConfig(count="all"),
    "mtp": ObjectiveConfig(name="mtp", heads=2, head_weights=WEIGHTS),
    "teacherless": ObjectiveConfig(name="teacherless"),
}


@pytest.fixture
def double(tiny):
    return replace(tiny, model=replace(tiny.model, dtype="float64", param_dtype="float64"))


def problems(config, rows: int = 8):
    return jnp.asarray(np.random.default_rng(0).integers(0, 8, (rows, task_of(config.task).format.length)), jnp.int32)


def drawn(config, seed: int = 0):
    """Parameters larger than the initial ones, so that no gradient is small."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: initial_state(config, task_of(config.task), 0).params)
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), leaf.dtype), shapes)


WALKS = DagConfig(labels=10, walks=DagWalks(edge_probability=0.3, train_share=0.2, paths_a_pair=1))
task_of = cache(build_task)
_gradient_of = jax.jit(loss_and_gradient, static_argnums=(0, 1))


def gradient_of(config, *arguments):
    return _gradient_of(config, task_of(config.task), *arguments)


def lines() -> np.ndarray:
    found = task_of(WALKS).training_set
    assert found is not None
    return found()


def norm_of(tree) -> float:
    return math.sqrt(sum(float((np.asarray(leaf, float) ** 2).sum()) for leaf in jax.tree.leaves(tree)))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_loss_and_head_losses_are_eq_2_by_loops(double, name):
    config = replace(double, objective=OBJECTIVES[name])
    form, params, tokens = task_of(config.task).format, drawn(config), problems(config, 2)
    (loss, heads), _ = gradient_of(replace(config, batch=2), params, tokens, 0)
    parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model_of(config, task_of(config.task), params))))
    first = 1 if name == "ntp" else form.prompt_length
    weights = WEIGHTS if name == "mtp" else (1.0,)
    eq_2, means = 0.0, [[] for _ in weights]
    for x in tokens.tolist():
        seen = x[: form.prompt_length] + [form.dummy_token] * form.answer_length if name == "teacherless" else x
        logits = naive_logits(transformer_config(config, task_of(config.task)), parameters, seen[:-1])
        places = range(first, form.length)  # t = first .. T - 1, from 1
        for t in places:
            for m, weight in enumerate(weights, start=1):
                if t + m <= form.length:
                    scores = logits[m - 1, t - 1]
                    surprise = math.log(sum(math.exp(score) for score in scores)) - scores[x[t + m - 1]]
                    eq_2 += weight * surprise / len(weights) / len(places) / len(tokens)
                    means[m - 1].append(surprise)
    assert_close(loss, np.array(eq_2), atol=1e-12)
    assert_close(heads, np.array([np.mean(each) for each in means]), atol=1e-12)


def test_the_loss_of_walks_counts_up_to_the_end_alone(double):
    """By loops: divided by the first head's targets, each with its token's weight, the second head at its own."""
    form = task_of(WALKS).format
    by_token = tuple(float(weight) for weight in np.linspace(0.5, 2.0, form.vocab_size))
    objective = replace(OBJECTIVES["mtp"], token_weights=by_token, weight_schedule="power", curriculum=(1,))
    config = replace(double, task=WALKS, objective=objective, steps=4, batch=3)
    params, tokens = drawn(config), jnp.asarray(lines()[-3:])
    (loss, heads), gradient = gradient_of(config, params, tokens, 1)
    parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model_of(config, task_of(config.task), params))))
    sums, counts = [0.0, 0.0], [0, 0]
    for row in tokens.tolist():
        logits = naive_logits(transformer_config(config, task_of(config.task)), parameters, row[:-1])
        for m in (1, 2):
            for t in range(2, row.index(form.end_token) + 2 - m):  # from 1, up to the last with a target
                target = row[t + m - 1]
                scores = logits[m - 1, t - 1]
                surprise = math.log(sum(math.exp(score) for score in scores)) - scores[target]
                sums[m - 1] += by_token[target] * surprise
                counts[m - 1] += 1
    assert counts[1] == counts[0] - 3 < 3 * (form.length - 2)
    eq_2 = (0.5 * sums[0] + 2.0 * (1 - 1 / 4) * sums[1]) / counts[0] / 2
    assert_close(loss, np.array(eq_2), atol=1e-6)  # weights of tokens are float32
    assert_close(heads, np.array(sums) / np.array(counts), atol=1e-6)
    # What follows the end is neither predicted nor read by what is.
    changed = jnp.where(jnp.arange(form.length) == form.length - 1, form.pad_token, tokens)
    assert bool(jnp.all(changed == tokens))
    off, before = gradient_of(config, params, tokens, 0)
    assert_close(off[0], np.array(0.5 * sums[0] / counts[0] / 2), atol=1e-6)
    assert norm_of(before["heads"]["kernels"][...][1]) == 0 < norm_of(gradient["heads"]["kernels"][...][1])


def test_the_losses_of_the_one_layer_model_are_those_of_its_theory(double):
    """The theory divides every head's sum by the targets of the first, and the trainer's means by the head's own."""
    shape = Architecture(kind="one-layer", param_dtype="float64")
    objective = replace(OBJECTIVES["mtp"], head_kind="transfer", injection=True)
    config = replace(double, task=WALKS, model=shape, objective=objective, batch=8)
    params, tokens, form = drawn(config), jnp.asarray(lines()[-8:]), task_of(WALKS).format
    (loss, heads), _ = gradient_of(config, params, tokens, 0)
    data = count_contexts(np.asarray(tokens), form.vocab_size, 2, form.pad_token)
    model = model_of(config, task_of(config.task), params)
    assert isinstance(model, OneLayer)
    truth = np.asarray(step_losses(model.parameters, data, model.config.options))
    shares = np.asarray(target_shares(tokens, 2, first_position(config, task_of(config.task)), form.pad_token), float)
    own = [float(jnp.sum(tokens[:, 2 + n :] != form.pad_token)) for n in (1, 2)]
    assert_close(shares, np.array([1.0, own[1] / own[0]]), atol=1e-6)
    assert shares[1] < 0.8
    assert_close(heads[0], truth[0], atol=1e-12)
    assert_close(heads, truth * own[0] / np.array(own), atol=1e-6)  # shares are float32
    assert_close(loss, WEIGHTS @ truth / 2, atol=1e-12)


def test_a_batch_in_parts_has_the_same_gradient(double):
    config = replace(double, objective=OBJECTIVES["mtp"])
    params, tokens = drawn(config), problems(config)
    whole = gradient_of(config, params, tokens, 0)
    assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(whole[1]))
    for parts in (2, 4):
        assert_close(gradient_of(replace(config, accumulate=parts), params, tokens, 0), whole, atol=1e-12)


def test_gradients_of_parts_are_summed_in_float32(tiny):
    """With parameters of 8 bits, 64 parts each lose up to 2^-9 of the sum where that has their 8 bits too."""
    config = replace(tiny, model=replace(tiny.model, param_dtype="bfloat16"), batch=128, accumulate=64)
    tokens = problems(tiny, 2).repeat(64, axis=0)  # every part has one row of each problem
    params = drawn(config)
    _, whole = gradient_of(replace(config, accumulate=1), params, tokens, 0)
    _, parts = gradient_of(config, params, tokens, 0)
    assert {leaf.dtype for leaf in jax.tree.leaves(parts)} == {jnp.dtype("bfloat16")}
    gap = jax.tree.map(lambda a, b: np.asarray(a, float) - np.asarray(b, float), parts, whole)
    assert norm_of(gap) / norm_of(whole) < 2 * float(jnp.finfo(jnp.bfloat16).eps)


def test_head_weights_weigh_gradients(double):
    """The loss of weights (0.5, 2) is a quarter of that of (2, 0), and that of (0, 2), added up."""
    params, tokens, found = drawn(replace(double, objective=OBJECTIVES["mtp"])), problems(double), {}
    for weights in (WEIGHTS, (2.0, 0.0), (0.0, 2.0)):
        objective = ObjectiveConfig(name="mtp", heads=2, head_weights=weights)
        (loss, _), gradient = gradient_of(replace(double, objective=objective), params, tokens, 0)
        found[weights] = jax.device_get((loss, gradient))
    truth = jax.tree.map(lambda a, b: a / 4 + b, found[2.0, 0.0], found[0.0, 2.0])
    assert_close(found[WEIGHTS], truth, atol=1e-12)
    assert float(found[2.0, 0.0][0]) > 0.5


def rate_by_hand(config: OptimiserConfig, steps: int, count: int) -> float:
    if count < config.warmup:
        return config.learning_rate * count / config.warmup
    done = (count - config.warmup) / max(1, steps - config.warmup)
    left = {"constant": 1.0, "cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done}[config.schedule]
    share = 1.0 if config.schedule == "constant" else config.final_share
    return config.learning_rate * (share + (1 - share) * left)


@pytest.mark.parametrize("warmup", [0, 3])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_steps_are_clipped_adamw_by_hand(schedule, warmup):
    config = OptimiserConfig(
        learning_rate=0.1,
        warmup=warmup,
        schedule=schedule,
        final_share=0.2,
        weight_decay=0.3,
        b1=0.8,
        b2=0.95,
        clip=2.0,
    )
    steps, rng = 8, np.random.default_rng(0)
    weights = {"a": rng.normal(size=3), "b": rng.normal(size=(2, 2))}
    optimiser = adamw(config, steps)
    advance = jax.jit(optimiser.update)
    state, params = optimiser.init(weights), weights
    m = v = {name: np.zeros_like(value) for name, value in weights.items()}
    clipped = 0
    for count in range(steps):
        g = {name: rng.normal(size=value.shape) * (count + 1) / 3 for name, value in weights.items()}
        with jax.numpy_dtype_promotion("standard"):
            change, state = advance(g, state, params)
        params = optax.apply_updates(params, change)
        norm = math.sqrt(sum((value**2).sum() for value in g.values()))
        clipped += norm > 2
        g = {name: value * min(1.0, 2 / norm) for name, value in g.items()}
        m = {name: 0.8 * m[name] + 0.2 * g[name] for name in g}
        v = {name: 0.95 * v[name] + 0.05 * g[name] ** 2 for name in g}
        rate, bias = rate_by_hand(config, steps, count), (1 - 0.8 ** (count + 1), 1 - 0.95 ** (count + 1))
        for name, w in weights.items():
            step = m[name] / bias[0] / (np.sqrt(v[name] / bias[1]) + 1e-8) + 0.3 * w
            weights[name] = w - rate * step
    assert 0 < clipped < steps
    assert_close(params, weights, atol=1e-7)  # optax keeps the schedule in float32


def test_an_update_is_a_step_down_the_gradient_of_the_loss_before_it(double):
    """The first step of Adam is the sign of the gradient, but for epsilon."""
    state, tokens = jax.jit(lambda: initial_state(double, task_of(double.task), 0))(), problems(double)
    (loss, heads), gradient = jax.device_get(gradient_of(double, state.params, tokens, 0))
    after, found = jax.jit(partial(update, double, task_of(double.task)))(state, tokens, np.int32(0))
    assert_close(tuple(found), (loss, heads), atol=1e-12)
    assert isinstance(after, State)
    gap = jax.tree.map(lambda old, new: new - old, *jax.device_get((state.params, after.params)))
    g = jax.tree.map(lambda leaf: leaf * min(1.0, 1 / norm_of(gradient)), gradient)
    assert_close(gap, jax.tree.map(lambda leaf: -0.01 * leaf / (np.abs(leaf) + 1e-8), g), atol=1e-12)
    assert norm_of(gap) > 0.1
    (later, _), _ = gradient_of(double, after.params, tokens, 1)
    assert float(later) < float(loss) - 0.01


def test_activations_in_bfloat16_leave_parameters_and_gradients_in_float32(tiny):
    """The gradient is within 2 % of the float32 one, in norm; bfloat16 rounds by up to 0.4 %."""
    mixed = replace(tiny, model=replace(tiny.model, dtype="bfloat16"))
    params, tokens = drawn(tiny), problems(tiny)
    (_, _), plain = gradient_of(tiny, params, tokens, 0)
    (loss, heads), gradient = gradient_of(mixed, params, tokens, 0)
    assert {leaf.dtype for leaf in jax.tree.leaves((loss, heads, gradient))} == {jnp.dtype("float32")}
    gap = jax.tree.map(np.subtract, *jax.device_get((gradient, plain)))
    assert 1e-4 < norm_of(gap) / norm_of(plain) < 0.02
    task = task_of(mixed.task)
    after, _ = jax.eval_shape(lambda tokens: update(mixed, task, initial_state(mixed, task, 0), tokens, 0), tokens)
    floats = [leaf.dtype for leaf in jax.tree.leaves(after) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert set(floats) == {jnp.dtype("float32")}
    assert jax.eval_shape(lambda: model_of(mixed, task, params)(tokens[0, :-1])).dtype == jnp.bfloat16


def test_initial_parameters_depend_on_the_seed_alone(tiny):
    one, same, other = (
        jax.jit(lambda seed=seed: initial_state(tiny, task_of(tiny.task), seed).params)() for seed in (3, 3, 4)
    )
    assert_close(one, same, atol=0)
    moved = [not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)]
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree.flatten_with_path(one)[0]]
    assert all(change or "scale" in name for name, change in zip(names, moved, strict=True))
