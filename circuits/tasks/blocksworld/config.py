"""The config of plans in Blocksworld."""

from dataclasses import dataclass, field
from typing import ClassVar

from circuits import checks
from circuits.tasks.walks.config import WalksConfig


@dataclass(frozen=True, kw_only=True)
class BlocksworldWalks(WalksConfig):
    """The blocks, and which plans to train on.

    Args:
        blocks: number of blocks; the graph has a node for every state.
        optimal_share: fraction of shortest plans among the plans of each training pair, at least one of which is
            shortest. The others are longer if a longer one exists.
    """

    blocks: int = 4
    optimal_share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("blocks", self.blocks, min_value=2)
        checks.require(0 <= self.optimal_share <= 1, "optimal_share", "must be in [0, 1]", self.optimal_share)


@dataclass(frozen=True, kw_only=True)
class BlocksworldConfig:
    """Plans of Blocksworld, which are walks in the graph of its states.

    Args:
        walks: the blocks, and which plans to train on.

    Raises:
        ValueError: naming the field that is out of range.
    """

    graph: ClassVar[str] = "blocksworld"
    walks: BlocksworldWalks = field(default_factory=BlocksworldWalks)
