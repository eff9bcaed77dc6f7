"""Training runs by name."""

from dataclasses import replace

from circuits.tasks.blocksworld.config import BlocksworldConfig
from circuits.tasks.star.config import StarConfig
from circuits.tasks.tree.config import TreeConfig
from circuits.tasks.walks.config import DagConfig
from circuits.training.config import ObjectiveConfig, OptimiserConfig, TrainConfig
from circuits.transformer.config import Architecture

NTP, TEACHERLESS = ObjectiveConfig(), ObjectiveConfig(name="teacherless")
MTP = ObjectiveConfig(name="mtp", heads=3)

E3 = TrainConfig(
    task=StarConfig(paths=5, labels=100, examples=1_000_000),
    optimiser=OptimiserConfig(learning_rate=1e-4),
    steps=40 * 976,  # 40 epochs of whole batches
    batch=1024,
    evaluate_every=976,
    checkpoint_every=976,
)
FIGURE_2 = TrainConfig(
    task=StarConfig(labels=100, examples=500_000),
    model=Architecture(layers=8, heads=8, width=408),  # 16M
    optimiser=OptimiserConfig(learning_rate=1e-4),
    steps=100 * 1953,
    evaluate_every=1953,
    checkpoint_every=1953,
)
STAR = TrainConfig(
    task=StarConfig(labels=12, style="pairs", query="goal-start"),
    # With embeddings as small as GPT-2's, NTP stays on a plateau for thousands of steps before it follows edges.
    model=Architecture(width=64, activation="relu", embed_scale=0.3),
    optimiser=OptimiserConfig(learning_rate=3e-3, warmup=200, schedule="cosine", b2=0.99),
    steps=1500,
    accumulate=8,  # faster on a CPU than one part: the activations of 32 sequences stay in the cache
)
TINY = replace(
    STAR,
    task=StarConfig(nodes=4, labels=10, style="pairs", query="goal-start"),
    model=Architecture(layers=4, heads=4, width=64, activation="relu", embed_scale=0.3),
    optimiser=OptimiserConfig(learning_rate=3e-3, warmup=200, b2=0.99),
    steps=1000,
    evaluate_every=50,
    checkpoint_every=200,
    accumulate=1,
)
TREE = replace(STAR, task=TreeConfig(nodes=4, labels=16, style="pairs", query="goal-start"))
DAG = TrainConfig(
    task=DagConfig(labels=100),
    model=Architecture(layers=1, heads=1, width=120),
    optimiser=OptimiserConfig(learning_rate=3e-3, warmup=200, schedule="cosine", final_share=0.01, b2=0.99),
    steps=6000,
    batch=64,
    evaluate_every=500,
    checkpoint_every=1000,
)
BLOCKS = replace(DAG, task=BlocksworldConfig())
ONE_LAYER = replace(
    DAG,
    model=Architecture(kind="one-layer"),
    optimiser=replace(DAG.optimiser, learning_rate=5e-2),
)
TRANSFER = ObjectiveConfig(name="mtp", heads=2, head_kind="transfer")
INJECTION = replace(TRANSFER, injection=True)


def _with(config: TrainConfig, objective: ObjectiveConfig) -> TrainConfig:
    return replace(config, objective=objective)


PRESETS: dict[str, tuple[str, TrainConfig]] = {
    "e3-ntp": ("Appendix E.3: 25M, 5-path 5-node stars, next-token; for a GPU", _with(E3, NTP)),
    "e3-mtp3": ("Appendix E.3: the same with 3-token prediction; for a GPU", _with(E3, MTP)),
    "figure-2-ntp": ("Figure 2: 16M, 2-path 5-node stars, 0.5M examples, next-token; for a GPU", _with(FIGURE_2, NTP)),
    "figure-2-mtp2": ("Figure 2: the same with 2-token prediction", _with(FIGURE_2, replace(MTP, heads=2))),
    "star-2x5-ntp": ("2-path 5-node stars at CPU size, 8 layers of 8 heads, next-token", _with(STAR, NTP)),
    "star-2x5-mtp3": ("the same with 3-token prediction", _with(STAR, MTP)),
    "star-2x5-teacherless": ("the same, teacherless", _with(STAR, TEACHERLESS)),
    "tree-4-ntp": ("binary trees with paths of 4 nodes at CPU size, next-token", _with(TREE, NTP)),
    "tree-4-mtp3": ("the same with 3-token prediction", _with(TREE, MTP)),
    "tiny-ntp": ("2-path 4-node stars, 4 layers of 4 heads, next-token: minutes on a CPU", _with(TINY, NTP)),
    "tiny-mtp3": ("the same with 3-token prediction: minutes on a CPU", _with(TINY, MTP)),
    "tiny-teacherless": ("the same, teacherless", _with(TINY, TEACHERLESS)),
    "dag-ntp": ("walks in a random directed acyclic graph of 100 nodes, 1 layer, next-token", _with(DAG, NTP)),
    "dag-transfer": ("the same with 2-token prediction through a transfer layer", _with(DAG, TRANSFER)),
    "dag-injection": ("the same, with the next token as input of the transfer layer", _with(DAG, INJECTION)),
    "dag-meta": (
        "the same with a second head that is one layer over the trunk",
        _with(DAG, replace(TRANSFER, head_kind="meta")),
    ),
    "dag-sequential": (
        "the same with a second head that also reads the next token",
        _with(DAG, replace(TRANSFER, head_kind="sequential")),
    ),
    "dag-one-layer-ntp": ("the same walks for the one-layer model of the theory, next-token", _with(ONE_LAYER, NTP)),
    "dag-one-layer-transfer": (
        "the same with 2-token prediction through a transfer matrix",
        _with(ONE_LAYER, TRANSFER),
    ),
    "dag-one-layer-injection": ("the same, with the next token as input of the transfer", _with(ONE_LAYER, INJECTION)),
    "blocks-ntp": ("plans of Blocksworld with 4 blocks, 1 layer, next-token", _with(BLOCKS, NTP)),
    "blocks-transfer": ("the same with 2-token prediction through a transfer layer", _with(BLOCKS, TRANSFER)),
}
"""Description and config of each run."""
