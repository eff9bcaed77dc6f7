"""Pairs of problems that differ in their goal alone, and so in one token of the prompt.

What a model does differently on the two can only come from that token: activations of one, put into the run on the
other, show where it is kept and where it is used.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from circuits import checks
from circuits.probes.layout import Layout, chosen_position, layout
from circuits.tasks.token_format import TokenFormat


class Twins(NamedTuple):
    """A clean problem and its corrupt twin up to the query position, Q tokens each; or a batch of both."""

    layout: Layout
    """Of the clean problem. ``layout.tokens`` are what the model reads; positions and order are those of both."""
    clean_token: Int[Array, "..."]
    """The right token after the query in the clean problem."""
    corrupt: Int[Array, "... Q"]
    """The tokens of the twin: those of the clean problem, answer included, but for the goal in the query."""
    corrupt_token: Int[Array, "..."]
    """The node of the same level on the path to the other goal."""


@partial(jax.jit, static_argnames=("format", "answer"))
def twins(format: TokenFormat, problems: Int[Array, "n T"], key: PRNGKeyArray, answer: int | None = None) -> Twins:
    """A twin for each problem, each with a key of its own (``fold_in`` of its number): see ``twin``."""
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(problems.shape[0]))
    return jax.vmap(lambda tokens, key: twin(format, tokens, key, answer))(problems, keys)


def twin(format: TokenFormat, tokens: Int[Array, " T"], key: PRNGKeyArray, answer: int | None = None) -> Twins:
    """The twin of one problem, given as ids with its answer; the query is ``chosen_position(format, answer)``.

    The other goal is drawn from the leaves whose path leaves that of the clean goal exactly at the chosen token. Where
    there is none (a star after its first node) it is any leaf whose path has another node at that level, and then the
    corrupt token does not follow from the answer's tokens before it, which are those of the clean problem.

    Raises ValueError for ids of another number, a place outside the answer, and the place of the start, which is the
    same in both.
    """
    checks.shape("tokens", tokens, (format.length,))
    query = chosen_position(format, answer)
    level = query + 1 - format.prompt_length + format.first_node
    checks.require(level > 0, "answer", "must not be the place of the start, which all paths share", answer)
    found = layout(format, tokens, query)
    ways, is_leaf = _ways(format, tokens)
    path = tokens[format.length - format.family.nodes + 1 :]
    differs = is_leaf & (ways[level - 1] != path[level - 1])
    exactly = differs & jnp.all(ways[: level - 1] == path[: level - 1, None], axis=0)
    pool = jnp.where(jnp.any(exactly), exactly, differs)
    drawn = jnp.argmax(jnp.where(pool, jax.random.uniform(key, pool.shape), -1))
    corrupt = found.tokens.at[found.goal].set(ways[-1, drawn].astype(found.tokens.dtype))
    return Twins(found, tokens[query + 1], corrupt, ways[level - 1, drawn])


def _ways(format: TokenFormat, tokens: Int[Array, " T"]) -> tuple[Int[Array, "levels E"], Bool[Array, " E"]]:
    """The nodes of levels 1 .. M-1 on the way to the head of each edge, and whether that is a leaf.

    For a head that is no leaf, the first levels mean nothing.
    """
    step, edges = (3 if format.style == "text" else 2), format.family.edge_count
    pairs = tokens[: step * edges].reshape(edges, step)
    tails, heads = pairs[:, 0], pairs[:, 1]
    before = jnp.argmax(heads == tails[:, None], axis=1)
    at, ways = jnp.arange(edges), []
    for _ in range(format.family.nodes - 1):
        ways.append(heads[at])
        at = before[at]
    return jnp.stack(ways[::-1]), ~jnp.any(heads[:, None] == tails, axis=1)
