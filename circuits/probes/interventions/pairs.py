"""Planning twins: pairs of problems that differ in one token of the prompt, the goal.

Any difference in what a model does on the two comes from that token. Activations of one, patched into the run on the
other, show where the goal is stored and where it is used.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from circuits import checks, display
from circuits.probes.layout import Layout, edge_width, problem_layout, query_position
from circuits.tasks.token_format import TokenFormat
from circuits.typing import AnyArray


class PlanningTwins(NamedTuple):
    """A clean problem and its corrupt twin, each up to the query position (Q tokens); or a batch of such pairs."""

    layout: Layout
    """Layout of the clean problem; positions and order are the same in the twin."""
    clean_answer: Int[AnyArray, "..."]
    """The correct token after the query position in the clean problem."""
    corrupt_tokens: Int[AnyArray, "... Q"]
    """The tokens of the clean problem, answer included, with another goal in the prompt's query."""
    corrupt_answer: Int[AnyArray, "..."]
    """The node at the same depth on the path to the other goal."""

    _repr_html_ = display.html

    @property
    def clean_tokens(self) -> Int[AnyArray, "... Q"]:
        """The tokens of the clean problem."""
        return self.layout.tokens


@partial(jax.jit, static_argnames=("format", "token"))
def planning_twins(
    problems: Int[AnyArray, "n T"], format: TokenFormat, key: PRNGKeyArray, token: int | None = None
) -> PlanningTwins:
    """Return each problem with a planning twin, as ``planning_twin`` with the problem's index folded into the key.

    Args:
        problems: token ids with answers, [n, T].
        format: how the problems are written.
        key: random key for the other goals.
        token: index in the answer of the predicted token; by default the branching token.

    Raises:
        ValueError: as ``planning_twin``.

    Example:
        >>> import jax
        >>> from circuits.probes import planning_twins, tiny_planning_model
        >>> _, problems, format = tiny_planning_model()  # the first leads to 0 by 6; its other path is 3, 7, 2
        >>> twins = planning_twins(problems, format, jax.random.key(0))
        >>> twins.corrupt_tokens[0].tolist(), int(twins.clean_answer[0]), int(twins.corrupt_answer[0])
        ([3, 7, 6, 0, 7, 2, 3, 6, 2, 3], 6, 7)
    """
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(problems.shape[0]))
    return jax.vmap(lambda tokens, key: planning_twin(tokens, format, key, token))(problems, keys)


def planning_twin(
    tokens: Int[AnyArray, " T"], format: TokenFormat, key: PRNGKeyArray, token: int | None = None
) -> PlanningTwins:
    """Return a problem and its twin with another goal.

    The other goal is drawn from the leaves whose path leaves the clean path exactly at the predicted token. If there is
    none (in a star after its first node), it is any leaf whose path has another node at that depth; then the tokens
    before the predicted one, which are those of the clean answer, do not lead to the other goal.

    Args:
        tokens: ids of the whole problem, answer included, [T].
        format: how the problem is written.
        key: random key for the other goal.
        token: index in the answer of the predicted token; by default the branching token.

    Raises:
        ValueError: if the format has another number of tokens, ``token`` is outside the answer, or it is the start,
            which both problems share.

    Example:
        >>> import jax
        >>> from circuits.probes import planning_twin, tiny_planning_model
        >>> _, problems, format = tiny_planning_model()
        >>> twin = jax.jit(planning_twin, static_argnums=1)(problems[0], format, jax.random.key(0))
        >>> int(twin.clean_tokens[8]), int(twin.corrupt_tokens[8])  # the goals
        (0, 2)
    """
    checks.shape("tokens", tokens, (format.length,))
    tokens = jnp.asarray(tokens)
    query = query_position(format, token)
    depth = query + 1 - format.prompt_length + format.path_offset
    checks.require(depth > 0, "token", "must not be that of the start, which all paths share", token)
    layout = problem_layout(tokens, format, query)
    routes, is_leaf = _routes(tokens, format)
    path = tokens[format.length - format.family.nodes + 1 :]
    differs = is_leaf & (routes[depth - 1] != path[depth - 1])
    branches = differs & jnp.all(routes[: depth - 1] == path[: depth - 1, None], axis=0)
    pool = jnp.where(jnp.any(branches), branches, differs)
    chosen = jnp.argmax(jnp.where(pool, jax.random.uniform(key, pool.shape), -1))
    corrupt = layout.tokens.at[layout.goal].set(routes[-1, chosen].astype(layout.tokens.dtype))
    return PlanningTwins(layout, tokens[query + 1], corrupt, routes[depth - 1, chosen])


def _routes(tokens: Int[Array, " T"], format: TokenFormat) -> tuple[Int[Array, "depths E"], Bool[Array, " E"]]:
    """Return the nodes at depths 1 .. M-1 on the way to each edge's child, and whether that child is a leaf.

    Routes to children that are not leaves are meaningless.
    """
    width, count = edge_width(format), format.family.edge_count
    edges = tokens[: width * count].reshape(count, width)
    parents, children = edges[:, 0], edges[:, 1]
    previous = jnp.argmax(children[None] == parents[:, None], axis=1)
    edge, routes = jnp.arange(count), []
    for _ in range(format.family.nodes - 1):
        routes.append(children[edge])
        edge = previous[edge]
    return jnp.stack(routes[::-1]), ~jnp.any(children[:, None] == parents[None], axis=1)
