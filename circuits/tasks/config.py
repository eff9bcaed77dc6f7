"""The config of path-finding problems, and a check that all configs use.

Configs are frozen records that read no file and import no jax.
"""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from circuits import checks

MAX_SEED = 2**31 - 1
"""Random keys are made from 31 bits on every platform."""
Style = Literal["text", "pairs"]
Query = Literal["start-goal", "goal-start"]


@dataclass(frozen=True, kw_only=True)
class ProblemsConfig:
    """Path-finding problems, each with a graph of its own.

    Training and test problems never share a graph: a hash of the graph determines the split.

    Args:
        nodes: number of nodes of a path, including the start.
        labels: number of node labels, N.
        style: text has separators, as in the paper's Appendix E.3; pairs has none, as in Section 5.1.
        query: the order of start and goal at the end of the prompt.
        examples: number of training problems, the same in every epoch; 0 for an endless stream of fresh problems.
        data_seed: seed of the training problems, if their number is given.
        one_in: one graph in this many is a test graph.
        data: a file of training problems, one on each line, used instead of random ones.
        test_data: a file of test problems, required with a file of training problems; no graph may be in both.
    """

    nodes: int = 5
    labels: int = 20
    style: Style = "text"
    query: Query = "start-goal"
    examples: int = 0
    data_seed: int = 0
    one_in: int = 64
    data: Path | None = None
    test_data: Path | None = None

    def __post_init__(self) -> None:
        checks.choice("style", self.style, get_args(Style))
        checks.choice("query", self.query, get_args(Query))
        checks.integer("examples", self.examples, min_value=0)
        checks.integer("data_seed", self.data_seed, min_value=0, max_value=MAX_SEED)
        checks.integer("one_in", self.one_in, min_value=2, max_value=MAX_SEED)
        both = (self.data is None) == (self.test_data is None)
        checks.require(both, "test_data", "must be given with data, and only then", self.test_data)
        drawn = self.data is None or self.examples == 0
        checks.require(drawn, "examples", "must be 0 with a data file, all of which is used", self.examples)


def check_unused(record: Any, names: Iterable[str], when: str, within: str = "") -> None:
    """Raise ValueError naming a field that nothing reads and that does not have its default."""
    known = {each.name: each for each in fields(record)}
    for name in names:
        field, value = known[name], getattr(record, name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        checks.require(value == default, within + name, f"must be left at {default!r} {when}", value)
