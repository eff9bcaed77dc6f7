"""Path-finding problems, each with a graph of its own, as a task: how they are drawn or read, and scored."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from circuits import checks
from circuits.tasks.baselines import chance, clever_hans
from circuits.tasks.config import MAX_SEED
from circuits.tasks.intervals import percent, with_interval
from circuits.tasks.sequence_files import edge_codes, read_sequences
from circuits.tasks.splits import sample_split
from circuits.tasks.star.graph import StarGraph
from circuits.tasks.task import Report, Rows, Split, Task
from circuits.tasks.token_format import TokenFormat, encode_problem
from circuits.tasks.tree.graph import BinaryTree
from circuits.typing import AnyArray

TEST_SEED = MAX_SEED
"""No run has this seed."""
ENOUGH = 4096
"""Problems returned when no number is asked for."""
CHUNK = 65_536
"""Problems drawn at once for a finite set."""


def planning_task(config: Any, family: StarGraph | BinaryTree, words: str) -> Task:
    """Return the task of solving problems of a family. ``config`` is a ``ProblemsConfig``; ``words`` names graphs."""
    format = TokenFormat(family, config.style, config.query)
    stream = config.examples == 0 and config.data is None

    @cache
    def training_set() -> Rows:
        if config.data is None:
            return draw(format, "train", config.data_seed, config.examples, config.one_in)
        rows = _read(format, "data", config.data)
        check_disjoint(format, rows, held_out())
        return rows

    @cache
    def held_out() -> Rows:
        return _read(format, "test_data", config.test_data)

    def problems(split: Split, count: int | None = None) -> Rows:
        checks.choice("split", split, ("train", "test"))
        count = ENOUGH if count is None else count
        if split == "train" and not stream:
            return training_set()[:count]
        if config.data is not None:
            return held_out()[:count]
        return draw(format, split, TEST_SEED, count, config.one_in)

    def judge(row: Int[AnyArray, " T"], answer: Int[AnyArray, " A"]) -> Bool[AnyArray, " A"]:
        return answer == row[format.prompt_length :]

    return Task(
        config=config,
        words=words,
        format=format,
        training_set=None if stream else training_set,
        draw=partial(_fresh_training_problems, format, config.one_in) if stream else None,
        problems=problems,
        judge=judge,
        metrics=partial(accuracies, format),
        unique_answers=True,
        report=partial(accuracy_report, format),
        status=lambda means: f"branching {means['hard']:.1%}" if "hard" in means else "",
        legend="branching: share of answers whose branching tokens (those that need look-ahead) are all correct",
        dummy_token=format.dummy_token,
        files={},
    )


def draw(format: TokenFormat, split: str, seed: int, count: int, one_in: int) -> Rows:
    """Return ``count`` random problems of a split as tokens; those of different seeds are independent.

    Args:
        format: the family of problems and how they are written.
        split: "train" or "test".
        seed: in {0..2^31 - 1}.
        count: number of problems, n.
        one_in: one graph in this many is a test graph.

    Raises:
        ValueError: as ``circuits.tasks.splits.sample_split`` does.

    Example:
        >>> from circuits.tasks import StarGraph, TokenFormat
        >>> draw(TokenFormat(StarGraph(2, 3, 10), "pairs", "goal-start"), "test", 0, 2, 64).shape
        (2, 12)
    """
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    keys = [jax.random.fold_in(jax.random.key(seed), part) for part in range(len(sizes))]
    parts = [fresh(format, split, key, size, one_in) for key, size in zip(keys, sizes, strict=True)]
    return np.concatenate([np.asarray(part) for part in parts])


@partial(jax.jit, static_argnums=(0, 1, 3, 4))
def fresh(format: TokenFormat, split: str, key: Array, count: int, one_in: int) -> Int[Array, "n T"]:
    """Return random problems of a split as tokens; jittable."""
    problems = sample_split(format.family, split, key, count, one_in)
    return jnp.asarray(jax.vmap(partial(encode_problem, format))(problems))


def check_disjoint(format: TokenFormat, train: Rows, test: Int[np.ndarray, "test T"]) -> None:
    """Raise ValueError if a graph is in both sets. The order of its edges and the goal do not matter."""
    known = {codes.tobytes() for codes in edge_codes(format, train)}
    for number, codes in enumerate(edge_codes(format, test), start=1):
        fresh = codes.tobytes() not in known
        checks.require(fresh, "task.test_data", "must share no graph with data", f"line {number}")


def accuracies(format: TokenFormat, right: Bool[np.ndarray, "n A"], rows: Rows) -> dict[str, Any]:
    """Return the shares of correct answers, from 0 to 1, as values for JSON.

    ``exact``: the whole answer is correct. ``hard``: all its branching tokens are correct; absent if it has none.
    ``by_token``: one share for each token of the answer.
    """
    branching = right[:, list(format.branching_positions)]
    shares = {"exact": mean(np.all(right, axis=1))}
    shares |= {"hard": mean(np.all(branching, axis=1))} if format.branching_positions else {}
    return shares | {"by_token": mean(right)}


def mean(flags: Bool[np.ndarray, "n *shape"]) -> Any:
    """Return the share of True along the first axis, as values for JSON."""
    return np.mean(flags, axis=0, dtype=np.float32).astype(np.float64).tolist()


def accuracy_report(format: TokenFormat, metrics: Mapping[str, Any], count: int) -> Report:
    """Return a table of the accuracy of each token, in greedy decoding and under teacher forcing, with baselines."""
    guess, follower = chance(format, sees_goal=True), clever_hans(format, sees_goal=True)
    rows = []
    for position in range(format.answer_length):
        parts = metrics["by_token"], guess.by_token, metrics["forced"], follower.by_token
        name = f"token {position}" + " (branching)" * (position in format.branching_positions)
        rows.append((name, *(percent(part[position]) for part in parts)))
    whole = with_interval(metrics["exact"], count)
    rows.append((f"whole answer, {whole[1]}", whole[0], percent(guess.exact), "", ""))
    columns = "", "greedy", "by chance", "given the true tokens", "following edges"
    return Report(title="problems", columns=columns, sections=(tuple(rows),))


def _fresh_training_problems(format: TokenFormat, one_in: int, key: Array, count: int) -> Int[Array, "n T"]:
    return fresh(format, "train", key, count, one_in)


def _read(format: TokenFormat, name: str, path: Path) -> Rows:
    try:
        return read_sequences(format, path)
    except (OSError, ValueError) as error:
        raise ValueError(f"task.{name}: must hold problems of the task, got {str(path)!r} ({error})") from error
