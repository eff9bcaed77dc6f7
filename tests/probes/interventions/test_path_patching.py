import jax.numpy as jnp
import numpy as np
import pytest

from circuits.probes.interventions.path_patching import MLPS, Receiver, path_patch
from tests.cases import assert_close
from tests.probes.interventions.planted import COPY, capture, copying_model, one, outcome, random_model, some_twins

TWINS = some_twins(3)
MODEL = random_model("llama", layers=3, heads=2, kv_heads=1, bias=True)


def direct_stream(model, base, source, sender, below, mlps):
    """The stream that enters block ``below``, as a sum: embedding, what each head adds, biases, and the MLPs."""
    stream = capture(model, base, "embed")
    for i, block in enumerate(model.transformer.blocks[:below]):
        z = np.array(capture(model, base, f"blocks.{i}.attn.z"))
        if i == sender[0]:
            z[:, sender[1]] = capture(model, source, f"blocks.{i}.attn.z")[:, sender[1]]
        kernel = block.attn.out.kernel[...].reshape(z.shape[1], z.shape[2], -1)
        stream = stream + sum(jnp.asarray(z[:, h]) @ kernel[h] for h in range(z.shape[1])) + block.attn.out.bias[...]
        free = block.mlp(block.norm_mlp(stream))
        stream = stream + (free if mlps == "free" else capture(model, base, f"blocks.{i}.mlp_out"))
    return stream


def naive(model, base, source, sender, receiver, mlps):
    """Logits after the direct path alone."""
    if receiver.part == "logits":
        stream = direct_stream(model, base, source, sender, len(model.transformer.blocks), mlps)
        return np.asarray(model.logits(model.transformer.norm(stream))[-1])
    stream = direct_stream(model, base, source, sender, receiver.layer, mlps)
    block = model.transformer.blocks[receiver.layer]
    _, cache = _attention(block, stream)
    part = cache[receiver.part][:, receiver.head]
    name = f"blocks.{receiver.layer}.attn.{receiver.part}"
    return outcome(model, base, {name: lambda old: old.at[:, receiver.head].set(part)})


def _attention(block, stream):
    """Queries, keys and values that attention makes of a stream."""
    cache = {}

    class Keep:
        def __call__(self, name, value):
            cache[name] = value
            return value

        def within(self, prefix):
            return self

        def wants(self, name):
            return False

    return block.attn(block.norm_attn(stream), jnp.arange(len(stream)), None, Keep()), cache


RECEIVERS = (Receiver("k", 2, 0), Receiver("logits"), Receiver("q", 1, 1), Receiver("v", 2, 0))


@pytest.mark.parametrize(("mlps", "direction"), list(zip(MLPS, ("denoise", "noise"), strict=True)))
def test_paths_are_those_of_the_explicit_sum(mlps, direction):
    found = path_patch(MODEL, TWINS, RECEIVERS, mlps=mlps, direction=direction, block=4)
    assert found.effect.shape == (4, 3, 2)
    for row, receiver in enumerate(RECEIVERS):
        for sender in ((0, 1), (1, 0), (2, 1)):
            shifts = []
            for number in range(3):
                twin = one(TWINS, number)
                base, source = twin.corrupt, twin.layout.tokens
                if direction == "noise":
                    base, source = source, base
                moved = naive(MODEL, base, source, sender, receiver, mlps) - outcome(MODEL, base)
                shifts.append(moved[int(twin.clean_token)] - moved[int(twin.corrupt_token)])
            assert_close(found.shift[row][sender], np.mean(shifts), 1e-10)
    assert_close(found.effect, found.shift / found.span, 1e-12)
    assert np.abs(found.shift[1]).min() > 1e-6, "every head reaches the logits"


def test_a_head_that_is_not_below_has_no_path():
    found = path_patch(MODEL, TWINS, (Receiver("q", 1, 0), Receiver("v", 0, 0)))
    assert_close(found.effect[0, 1:], np.zeros((2, 2)), 1e-12)
    assert_close(found.effect[1], np.zeros((3, 2)), 1e-12)
    assert np.abs(found.effect[0, 0]).max() > 1e-9


def test_the_planted_head_reaches_the_logits_and_nothing_else_does():
    model, twins = copying_model(), some_twins(6, COPY, answer=0)
    found = path_patch(model, twins, (Receiver(), Receiver("q", 1, 0), Receiver("v", 1, 0)))
    expected = np.zeros((3, 2, 2))
    expected[0, 1, 0] = 1
    assert_close(found.effect, expected, 1e-9)


ERRORS = [
    ({"mlps": "warm"}, "mlps: must be one of frozen, free, got 'warm'"),
    ({"direction": "up"}, "direction: must be one of denoise, noise, got 'up'"),
    ({"receivers": ()}, r"receivers: must hold at least one, got \(\)"),
    ({"receivers": (Receiver("z", 0, 0),)}, "receiver.part: must be one of logits, q, k, v, got 'z'"),
    ({"receivers": (Receiver("q", 3, 0),)}, "receiver.layer: must be an integer between 0 and 2, got 3"),
    ({"receivers": (Receiver("k", 2, 1),)}, "receiver.head: must be an integer between 0 and 0, got 1"),
    ({"head": 2}, "head: must be an integer between 0 and 1, got 2"),
]


@pytest.mark.parametrize(("changes", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        path_patch(MODEL, TWINS, **changes)
