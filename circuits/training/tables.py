"""What ``circuits evaluate`` prints of a model."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table
from scipy.stats import binomtest

from circuits.tasks.baselines import chance, clever_hans
from circuits.training.stored import Stored


def accuracy_table(stored: Stored, found: dict[str, Any], examples: int, split: str) -> Table:
    """Each token of the answer: greedy, given the true ones before it, and what an edge-follower gets.

    The interval of the whole answer is Wilson's, at 95%.
    """
    form = stored.task.problem_format
    guess, cheat = chance(form, sees_goal=True), clever_hans(form, sees_goal=True)
    table = _table(
        stored, f"{examples} {split} problems", "greedy", "by chance", "given the true tokens", "following edges"
    )
    for place in range(form.answer_length):
        values = found["by_token"][place], guess.by_token[place], found["forced"][place], cheat.by_token[place]
        hard = " (hard)" if place in form.branching_positions else ""
        table.add_row(f"token {place + 1}{hard}", *(f"{float(value):.1%}" for value in values))
    low, high = _interval(found["exact"], examples)
    row = f"{found['exact']:.1%}", f"{float(guess.exact):.1%}", "", ""
    table.add_row(f"whole answer, {low:.1%} to {high:.1%}", *row)
    return table


def walk_table(stored: Stored, found: dict[str, Any], examples: int, split: str) -> Table:
    """Pairs with a valid walk: by degree, by distance and in all, with Wilson's intervals at 95%; and single steps.

    Of Blocksworld also the pairs whose plan has the fewest moves.
    """
    table = _table(stored, f"{examples} {split} pairs of {stored.task.words}", "pairs", "valid walks", "95% interval")
    degrees = [f"degree {degree}" for degree in range(len(found["by_degree"]))]
    degrees[-1] += " or more"
    _groups(table, degrees, found["by_degree"], found["degree_pairs"])
    distances = [f"distance {hop}" for hop in range(1, len(found["by_hop"]) + 1)]
    _groups(table, distances, found["by_hop"], found["hop_pairs"])
    every = {"all": found["exact"]}
    every |= {"all, with the fewest moves": found["optimal"]} if "optimal" in found else {}
    _groups(table, every, every.values(), [examples] * len(every))
    for name, key in (("steps along edges", "steps"), ("of these, towards the target", "steps_ahead")):
        table.add_row(name, "", "-" if found[key] is None else f"{found[key]:.1%}", "")
    return table


def _groups(table: Table, names: Iterable[str], shares: Iterable[float | None], pairs: Iterable[int]) -> None:
    """A row for each group in which there is a pair."""
    for name, share, count in zip(names, shares, pairs, strict=True):
        if share is not None:
            low, high = _interval(share, count)
            table.add_row(name, str(count), f"{share:.1%}", f"{low:.1%} to {high:.1%}")
    table.add_section()


def _interval(share: float, count: int) -> tuple[float, float]:
    found = binomtest(round(share * count), count).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def _table(stored: Stored, what: str, *columns: str) -> Table:
    table = Table(title=f"{stored.name}: {what}")
    table.add_column("", justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table
