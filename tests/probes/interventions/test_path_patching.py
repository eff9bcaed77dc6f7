"""Direct paths against the residual stream written out as a sum, and on a model whose circuit is known."""

# pyright: reportOptionalSubscript=false

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.interventions.path_patching import Receiver, path_patch
from circuits.transformer.taps import Taps
from tests.cases import assert_close
from tests.probes.interventions.planted import copy_twins, copying_model, last, run, some_twins, tiny_model

TWINS = 3
SENDERS = np.array([(0, 1), (1, 0), (2, 1)])
RECEIVERS = (Receiver("k", 2, 0), Receiver("logits"), Receiver("q", 1, 1))


def model():
    return tiny_model("llama", layers=3, heads=2, kv_heads=1, bias=True)


def direct_stream(base, source, sender, below, mlps):
    """The stream that enters block ``below``, as a sum: embedding, what each head adds, biases, and the MLPs."""
    stream = base["embed"]
    for i, block in enumerate(model().transformer.blocks[:below]):
        heads = jnp.arange(base[f"blocks.{i}.attn.z"].shape[1])[:, None]
        sent = (i == sender[0]) & (heads == sender[1])
        z = jnp.where(sent, source[f"blocks.{i}.attn.z"], base[f"blocks.{i}.attn.z"])
        kernel = block.attn.out.kernel[...].reshape(z.shape[1], z.shape[2], -1)
        stream = stream + sum(z[:, h] @ kernel[h] for h in range(z.shape[1])) + block.attn.out.bias[None]
        free = block.mlp(block.norm_mlp(stream))
        stream = stream + (free if mlps == "free" else base[f"blocks.{i}.mlp_out"])
    return stream


class Keep:
    """A tap that keeps queries, keys and values."""

    def __init__(self):
        self.cache = {}

    def __call__(self, name, value):
        self.cache[name] = value
        return value

    def within(self, prefix):
        return self

    def wants(self, name):
        return False


@partial(jax.jit, static_argnames=("receiver", "mlps"))
@partial(jax.vmap, in_axes=(None, None, None, 0, None, None))
def naive(ids, base, source, sender, receiver, mlps):
    """Logits after the direct path alone."""
    if receiver.part == "logits":
        stream = direct_stream(base, source, sender, 3, mlps)
        return model().logits(model().transformer.norm(stream), 0)[-1]
    stream = direct_stream(base, source, sender, receiver.layer, mlps)
    block, keep = model().transformer.blocks[receiver.layer], Keep()
    block.attn(block.norm_attn(stream), jnp.arange(len(stream)), None, keep)
    part = keep.cache[receiver.part][:, receiver.head]
    edit = {f"blocks.{receiver.layer}.attn.{receiver.part}": lambda old: old.at[:, receiver.head].set(part)}
    return model()(ids, Taps(edit=edit))[0][0, -1]


@pytest.mark.parametrize(
    ("mlps", "direction", "receivers"), [("frozen", "denoise", RECEIVERS), ("free", "noise", RECEIVERS[1:])]
)
def test_paths_are_those_of_the_explicit_sum(mlps, direction, receivers):
    twins = some_twins(TWINS)
    found = path_patch(model(), twins, receivers, mlps=mlps, direction=direction, block=4)
    assert found.effect.shape == (len(receivers), 3, 2)
    for row, receiver in enumerate(receivers):
        shifts = []
        for number in range(TWINS):
            base, source = twins.corrupt_tokens[number], twins.clean_tokens[number]
            if direction == "noise":
                base, source = source, base
            activations = (run(model(), ids)[1] for ids in (base, source))
            moved = np.asarray(naive(base, *activations, SENDERS, receiver, mlps)) - last(model(), base)
            shifts.append(moved[:, twins.clean_answer[number]] - moved[:, twins.corrupt_answer[number]])
        assert_close(found.shift[row][tuple(SENDERS.T)], np.mean(shifts, axis=0), 1e-10)
    assert_close(found.effect, found.shift / found.span, 1e-12)
    assert np.abs(found.shift[-2]).min() > 1e-6, "every head reaches the logits"
    assert_close(found.effect[-1, 1:], np.zeros((2, 2)), 1e-12)  # no path from a head that is not below
    assert np.abs(found.effect[-1, 0]).max() > 1e-9


def test_the_planted_head_reaches_the_logits_and_nothing_else_does():
    found = path_patch(copying_model(), copy_twins(6), (Receiver(), Receiver("q", 1, 0), Receiver("v", 1, 0)))
    expected = np.zeros((3, 2, 2))
    expected[0, 1, 0] = 1
    assert_close(found.effect, expected, 1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mlps": "warm"}, "mlps: must be one of frozen, free"),
        ({"direction": "up"}, "direction: must be one of denoise, noise"),
        ({"receivers": ()}, "receivers: must hold at least one"),
        ({"receivers": (Receiver("z", 0, 0),)}, "receiver.part: must be one of logits, q, k, v"),
        ({"receivers": (Receiver("q", 3, 0),)}, "receiver.layer: must be an integer between 0 and 2"),
        ({"receivers": (Receiver("k", 2, 1),)}, "receiver.head: must be an integer between 0 and 0"),
        ({"head": 2}, "head: must be an integer between 0 and 1"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        path_patch(model(), some_twins(TWINS), **changes)
