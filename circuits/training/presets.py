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
    "e3-ntp": (
        "5-path 5-node stars as in Appendix E.3, 25M parameters, next-token prediction; for a GPU",
        _with(E3, NTP),
    ),
    "e3-mtp3": ("e3-ntp with 3-token prediction; for a GPU", _with(E3, MTP)),
    "figure-2-ntp": (
        "2-path 5-node stars as in Figure 2, 16M parameters, next-token prediction; for a GPU",
        _with(FIGURE_2, NTP),
    ),
    "figure-2-mtp2": ("figure-2-ntp with 2-token prediction; for a GPU", _with(FIGURE_2, replace(MTP, heads=2))),
    "star-2x5-ntp": ("2-path 5-node stars, 8 layers of 8 heads, next-token prediction; for a CPU", _with(STAR, NTP)),
    "star-2x5-mtp3": ("star-2x5-ntp with 3-token prediction; for a CPU", _with(STAR, MTP)),
    "star-2x5-teacherless": ("star-2x5-ntp with teacherless training; for a CPU", _with(STAR, TEACHERLESS)),
    "tree-4-ntp": (
        "binary trees with paths of 4 nodes, 8 layers of 8 heads, next-token prediction; for a CPU",
        _with(TREE, NTP),
    ),
    "tree-4-mtp3": ("tree-4-ntp with 3-token prediction; for a CPU", _with(TREE, MTP)),
    "tiny-ntp": ("2-path 4-node stars, 4 layers of 4 heads, next-token prediction; minutes on a CPU", _with(TINY, NTP)),
    "tiny-mtp3": ("tiny-ntp with 3-token prediction; minutes on a CPU", _with(TINY, MTP)),
    "tiny-teacherless": ("tiny-ntp with teacherless training; minutes on a CPU", _with(TINY, TEACHERLESS)),
    "dag-ntp": (
        "walks in one random acyclic graph of 100 nodes, 1 layer of 1 head, next-token prediction",
        _with(DAG, NTP),
    ),
    "dag-transfer": ("dag-ntp with 2-token prediction through a transfer layer", _with(DAG, TRANSFER)),
    "dag-injection": ("dag-transfer with the next token as another input of the transfer layer", _with(DAG, INJECTION)),
    "dag-meta": (
        "dag-ntp with 2-token prediction by a second head that has a layer of its own",
        _with(DAG, replace(TRANSFER, head_kind="meta")),
    ),
    "dag-sequential": (
        "dag-ntp with 2-token prediction by a second head that also reads the next token",
        _with(DAG, replace(TRANSFER, head_kind="sequential")),
    ),
    "dag-one-layer-ntp": (
        "the walks of dag-ntp for the one-layer model of the transfer theory, next-token prediction",
        _with(ONE_LAYER, NTP),
    ),
    "dag-one-layer-transfer": (
        "dag-one-layer-ntp with 2-token prediction through a transfer matrix",
        _with(ONE_LAYER, TRANSFER),
    ),
    "dag-one-layer-injection": (
        "dag-one-layer-transfer with the next token as input of the transfer matrix",
        _with(ONE_LAYER, INJECTION),
    ),
    "blocks-ntp": ("plans of Blocksworld with 4 blocks, 1 layer of 1 head, next-token prediction", _with(BLOCKS, NTP)),
    "blocks-transfer": ("blocks-ntp with 2-token prediction through a transfer layer", _with(BLOCKS, TRANSFER)),
}
"""Description and config of each run."""
