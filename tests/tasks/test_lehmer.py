import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from circuits.tasks.lehmer import decode_lehmer


@pytest.mark.parametrize(("things", "length"), [(1, 1), (5, 5), (5, 2), (6, 1), (7, 4)])
def test_digits_in_counting_order_give_the_sequences_in_lexicographic_order(things, length):
    digits = itertools.product(*(range(things - i) for i in range(length)))
    codes = jnp.asarray(list(digits), dtype=jnp.int32)
    decoded = np.asarray(jax.vmap(decode_lehmer)(codes)).tolist()
    assert decoded == [list(row) for row in itertools.permutations(range(things), length)]
