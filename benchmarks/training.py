"""Tokens per second of full training steps against PyTorch: forward, backward and AdamW, at the sizes of our runs.

Both sides train the same model on the CPU: pre-norm blocks without biases, learned positions, 3 prediction heads, the
loss on the answer. The peer has one fused projection to queries, keys and values, scaled_dot_product_attention and
fused AdamW, in its usual setting, and with ``--peer-parts`` also with gradients accumulated, as ours are. Each side
has a process of its own, so neither shares threads or memory with the other, and both are bound to the same cores;
they take steps in turns, the first of a round changes each time, and the medians over rounds are compared. ``best`` is
the best round of each. ``cpu`` is the median of processor seconds per step: on one core it does not depend on what else
the machine does, as everything else does where threads wait for each other. PyTorch is no dependency: name an
interpreter that has it, or its side is left out.

    python benchmarks/training.py --torch-python /path/to/python
"""

import argparse
import importlib
import itertools
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from measure import LocalSide, Side, report, seconds, serve, use_cores

SIZES = {"small": (4, 64, 4), "large": (8, 256, 8)}
"""Layers, width and attention heads."""
ACTIVATIONS = ("relu", "gelu-tanh")
LENGTH, VOCAB, ANSWER, HEADS, RATE = 31, 24, 5, 3, 1e-3


class Setting(NamedTuple):
    """What is trained, on how many cores; and how a batch is split: over devices, and into accumulated parts."""

    layers: int
    width: int
    heads: int
    activation: str
    batch: int
    cores: int
    devices: int
    parts: int


def ours(setting: Setting) -> tuple[Callable[[], Any], str]:
    """Return a step that blocks, and versions. The batch is split over a mesh of CPU devices."""
    import jax
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    if setting.devices > len(jax.devices()):
        raise SystemExit(f"training: XLA must have {setting.devices} CPU devices, got {len(jax.devices())}")
    mesh = jax.make_mesh((setting.devices,), ("batch",), axis_types=(AxisType.Auto,))
    state, tokens, step = our_step(setting)
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    tokens = jax.device_put(tokens, NamedSharding(mesh, PartitionSpec("batch")))

    def run() -> None:
        nonlocal state
        state, loss = step(state, tokens)
        jax.block_until_ready((state, loss))

    return run, f"jax {jax.__version__}"


def our_step(setting: Setting) -> tuple[Any, Any, Callable[..., Any]]:
    """Return (state, tokens, step) with ``state, loss = step(state, tokens)``: the step of ``circuits train``."""
    import jax

    from circuits.tasks.star.config import StarConfig
    from circuits.tasks.task import build_task
    from circuits.training.config import ObjectiveConfig, OptimiserConfig, TrainConfig
    from circuits.training.step import initial_state, update
    from circuits.transformer.config import Architecture

    shape = {key: getattr(setting, key) for key in ("layers", "width", "heads", "activation")}
    config = TrainConfig(
        task=StarConfig(),  # 2-path 5-node stars of 20 labels as text: 31 tokens are read, 24 are known
        objective=ObjectiveConfig(name="mtp", heads=HEADS),
        model=Architecture(**shape),
        optimiser=OptimiserConfig(learning_rate=RATE),
        batch=setting.batch,
        accumulate=setting.parts,
    )
    task = build_task(config.task)
    form = task.format
    assert (form.length - 1, form.vocab_size, form.answer_length) == (LENGTH, VOCAB, ANSWER)
    tokens = jax.random.randint(jax.random.key(1), (setting.batch, LENGTH + 1), 0, VOCAB, "int32")
    step = jax.jit(lambda state, tokens: update(config, task, state, tokens, 0), donate_argnums=0)
    return initial_state(config, task, 0), tokens, step


def peer(setting: Setting) -> tuple[Callable[[], Any], str]:
    """Return the same step in PyTorch, with a thread on every core."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        sys.exit(f"training: PyTorch is missing in {sys.executable}; name another interpreter with --torch-python")
    nn, functional = torch.nn, torch.nn.functional
    torch.manual_seed(0)
    torch.set_num_threads(setting.cores)
    d = setting.width

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm_attn, self.norm_mlp = nn.LayerNorm(d, bias=False), nn.LayerNorm(d, bias=False)
            self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
            self.into, self.back = nn.Linear(d, 4 * d, bias=False), nn.Linear(4 * d, d, bias=False)

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = self.qkv(self.norm_attn(x)).view(b, t, 3, setting.heads, -1).permute(2, 0, 3, 1, 4)
            z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(z.transpose(1, 2).reshape(b, t, d))
            hidden = self.into(self.norm_mlp(x))
            relu = setting.activation == "relu"
            hidden = functional.relu(hidden) if relu else functional.gelu(hidden, approximate="tanh")
            return x + self.back(hidden)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(VOCAB, d), nn.Parameter(0.02 * torch.randn(LENGTH, d))
            self.blocks = nn.Sequential(*(Block() for _ in range(setting.layers)))
            self.norm = nn.LayerNorm(d, bias=False)
            self.heads = nn.ModuleList(nn.Linear(d, VOCAB, bias=False) for _ in range(HEADS))

        def forward(self, tokens):
            return self.norm(self.blocks(self.tokens(tokens) + self.positions))

    model = Model()
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.0, fused=True)
    tokens = torch.randint(0, VOCAB, (setting.batch, LENGTH + HEADS))
    first = LENGTH - ANSWER + 1

    def run() -> None:
        optimiser.zero_grad()
        for rows in tokens.chunk(setting.parts):
            final = model(rows[:, :LENGTH])[:, -ANSWER:].reshape(-1, d)
            targets = [rows[:, first + m : first + m + ANSWER].reshape(-1) for m in range(HEADS)]
            pairs = zip(model.heads, targets, strict=True)
            losses = [functional.cross_entropy(head(final), target) for head, target in pairs]
            (torch.stack(losses).sum() / setting.parts).backward()
        optimiser.step()

    return run, f"torch {torch.__version__}"


def side_of(name: str, setting: Setting) -> LocalSide:
    """Return one side, which answers a number of steps with seconds per step, wall-clock and of processors."""
    run, version = {"ours": ours, "peer": peer}[name](setting)
    run()
    run()

    def answer(steps: int) -> list[float]:
        wall, cpu, _ = seconds(lambda: [run() for _ in range(steps)])
        return [wall / steps, cpu / steps]

    return LocalSide(version, answer)


def compare(
    name: str, sides: Mapping[str, Side | LocalSide], setting: Setting, rounds: int, steps: int, **rest: Any
) -> None:
    """Report medians over rounds, as seconds per step and tokens per second."""
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in sorted(sides, reverse=number % 2 == 1):
            times[side].append(sides[side].ask(steps))
    for side in sides.values():
        side.close()
    medians = {side: [statistics.median(kind) for kind in zip(*rows, strict=True)] for side, rows in times.items()}
    wall, cpu = ({side: median[i] for side, median in medians.items()} for i in range(2))
    best = {side: min(wall for wall, _ in rows) for side, rows in times.items()}
    tokens = setting.batch * LENGTH
    line: dict[str, Any] = {"tokens_per_second": {side: round(tokens / each) for side, each in wall.items()}}
    line |= {"best": best, "cpu": cpu}
    if "peer" in sides:
        line |= {"best_ratio": best["peer"] / best["ours"], "cpu_ratio": cpu["peer"] / cpu["ours"]}
    line |= {**setting._asdict(), "length": LENGTH, "rounds": rounds, **rest, "load": os.getloadavg()[0]}
    report(name, wall["ours"], wall.get("peer"), **line, versions=[side.version for side in sides.values()])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--torch-python", default="", help="interpreter that has PyTorch")
    parser.add_argument("--only", default="", help="run the lines whose name contains this")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument("--steps", type=int, default=3, help="steps per turn")
    cores = [len(os.sched_getaffinity(0))]
    parser.add_argument("--cores", type=int, nargs="*", default=cores, help="processor cores of each side")
    parser.add_argument("--devices", type=int, nargs="*", default=[], help="CPU devices of ours; as many as cores")
    parser.add_argument("--parts", type=int, nargs="*", default=[8], help="accumulated parts of a batch")
    parser.add_argument("--peer-parts", type=int, nargs="*", default=[1], help="the same of the peer")
    parser.add_argument("--toy", action="store_true", help="a small model, our side alone, in this process")
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "SETTING"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        setting = Setting(**json.loads(args.serve[1]))
        use_cores(setting.cores)
        if args.serve[0] == "ours":
            import jax

            jax.config.update("jax_num_cpu_devices", setting.devices)
        side = side_of(args.serve[0], setting)
        serve(side.version, side.answer)
        return
    if args.toy:
        setting = Setting(1, 16, 2, "relu", batch=4, cores=1, devices=1, parts=2)
        compare("training/toy", {"ours": side_of("ours", setting)}, setting, rounds=1, steps=1)
        return
    if not args.torch_python:
        print("training: without --torch-python ours is measured alone", file=sys.stderr)
    peer_parts = args.peer_parts if args.torch_python else [0]
    splits = list(itertools.product(args.cores, args.devices or [0], args.parts, peer_parts))
    for size, activation, (cores, devices, parts, peer_part) in itertools.product(SIZES, ACTIVATIONS, splits):
        setting = Setting(*SIZES[size], activation, 256, cores, devices or cores, parts)
        name = f"training/{size}/{activation}/cores={cores}/devices={setting.devices}/parts={parts}"
        settings, of_peer = {"ours": (sys.executable, setting)}, {}
        if args.torch_python:
            name += f"/peer={peer_part}"
            settings["peer"] = args.torch_python, setting._replace(parts=peer_part)
            of_peer = {"peer_parts": peer_part}
        if args.only not in name:
            continue
        sides = {
            side: Side(python, os.path.abspath(__file__), "--serve", side, json.dumps(each._asdict()))
            for side, (python, each) in settings.items()
        }
        compare(name, sides, setting, args.rounds, args.steps, **of_peer)


if __name__ == "__main__":
    main()
