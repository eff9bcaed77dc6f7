"""Tokens a second of full training steps against PyTorch: forward, backward and AdamW, at the sizes of our runs.

Both sides train the same shape on the CPU: pre-norm blocks without biases, learned positions, 3 prediction heads, the
loss on the answer. The peer has one fused projection to queries, keys and values, scaled_dot_product_attention and
fused AdamW, in its usual setting, and with ``--peer-parts`` also with gradients accumulated, as ours are. Each side
has a process of its own, so neither shares threads or memory with the other, and both are bound to the same cores;
they take steps in turns, the first of a round changes each time, and the medians over rounds are compared. ``least``
is the best round of each. ``cpu`` is the median of processor seconds a step: on one core it does not depend on what
else the machine does, as all else does where threads wait for each other. PyTorch is no dependency: name an
interpreter that has it.

    python benchmarks/training.py --torch-python /path/to/python
"""

import argparse
import importlib
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

SIZES = {"small": (4, 64, 4), "large": (8, 256, 8)}
"""Layers, width and attention heads."""
ACTIVATIONS = ("relu", "gelu-tanh")
BATCH, LENGTH, VOCAB, ANSWER, HEADS, RATE = 256, 31, 24, 5, 3, 1e-3


@dataclass(frozen=True)
class Setting:
    """What is trained, on how many cores; and how a batch is split: over devices, and in parts one by one."""

    layers: int
    width: int
    heads: int
    activation: str
    cores: int
    devices: int
    parts: int


def ours(setting: Setting) -> tuple[Callable[[], Any], str]:
    """A step that blocks, and versions. The batch lies on a mesh of CPU devices; its parts go one after the other."""
    import jax

    jax.config.update("jax_num_cpu_devices", setting.devices)
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

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
    """(state, tokens, step) with ``state, loss = step(state, tokens)``: the step of ``circuits train``."""
    from functools import partial

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
        batch=BATCH,
        accumulate=setting.parts,
    )
    task = build_task(config.task)
    assert (task.format.length - 1, task.format.vocab_size, task.format.answer_length) == (LENGTH, VOCAB, ANSWER)
    tokens = jax.random.randint(jax.random.key(1), (BATCH, LENGTH + 1), 0, VOCAB, "int32")
    return initial_state(config, task, 0), tokens, jax.jit(partial(update, config, task), donate_argnums=0)


def peer(setting: Setting) -> tuple[Callable[[], Any], str]:
    """The same step in PyTorch, with a thread on every core."""
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
            self.tokens, self.places = nn.Embedding(VOCAB, d), nn.Parameter(0.02 * torch.randn(LENGTH, d))
            self.blocks = nn.Sequential(*(Block() for _ in range(setting.layers)))
            self.norm = nn.LayerNorm(d, bias=False)
            self.heads = nn.ModuleList(nn.Linear(d, VOCAB, bias=False) for _ in range(HEADS))

        def forward(self, tokens):
            return self.norm(self.blocks(self.tokens(tokens) + self.places))

    model = Model()
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.0, fused=True)
    tokens = torch.randint(0, VOCAB, (BATCH, LENGTH + HEADS))
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


def serve(side: str, setting: Setting) -> None:
    """The process of one side: a line in is a number of steps, a line out the seconds they took, and of processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setting.cores])
    run, version = {"ours": ours, "peer": peer}[side](setting)
    run()
    run()
    print(version, flush=True)
    for line in sys.stdin:
        begun, busy = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            run()
        print(time.perf_counter() - begun, time.process_time() - busy, flush=True)


class Side:
    """One side's process."""

    def __init__(self, side: str, python: str, setting: Setting) -> None:
        command = [python, os.path.abspath(__file__), "--serve", side, json.dumps(asdict(setting))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._line()

    def seconds(self, steps: int) -> tuple[float, float]:
        """Wall-clock and processor seconds of one step, the mean over these."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        wall, busy = self._line().split()
        return float(wall) / steps, float(busy) / steps

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            sys.exit(f"training: {' '.join(self.process.args[:3])} ended early")  # pyright: ignore
        return line


def compare(name: str, setting: Setting, peer_parts: int, args: argparse.Namespace) -> None:
    """One JSON line: medians over rounds, as seconds a step and tokens a second."""
    sides = {
        "peer": Side("peer", args.torch_python, replace(setting, parts=peer_parts)),
        "ours": Side("ours", sys.executable, setting),
    }
    times: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for number in range(args.rounds):
        for side in sorted(sides, reverse=number % 2 == 1):
            times[side].append(sides[side].seconds(args.steps))
    for side in sides.values():
        side.close()
    (own, own_cpu), (other, other_cpu) = (
        [statistics.median(kind) for kind in zip(*times[side], strict=True)] for side in ("ours", "peer")
    )
    least = {side: min(wall for wall, _ in times[side]) for side in sides}
    line: dict[str, Any] = {"name": name, "ours": own, "peer": other, "ratio": other / own, "unit": "s"}
    line |= {"tokens_per_second": round(BATCH * LENGTH / own), "peer_tokens_per_second": round(BATCH * LENGTH / other)}
    line |= {"least": least, "least_ratio": least["peer"] / least["ours"]}
    line |= {"cpu": {"ours": own_cpu, "peer": other_cpu}, "cpu_ratio": other_cpu / own_cpu}
    line |= {"device": f"cpu {platform.machine()}", "load": os.getloadavg()[0], "rounds": args.rounds}
    line |= {**asdict(setting), "peer_parts": peer_parts, "batch": BATCH, "length": LENGTH}
    print(json.dumps({**line, "versions": [side.version for side in sides.values()]}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter that has PyTorch")
    parser.add_argument("--only", default="", help="run the lines whose name contains this")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side")
    parser.add_argument("--steps", type=int, default=3, help="steps a turn")
    parser.add_argument("--cores", type=int, nargs="*", default=[os.cpu_count() or 1], help="processors of both sides")
    parser.add_argument("--devices", type=int, nargs="*", default=[], help="CPU devices of ours; as many as cores")
    parser.add_argument("--parts", type=int, nargs="*", default=[8], help="parts of a batch, one after the other")
    parser.add_argument("--peer-parts", type=int, nargs="*", default=[1], help="the same of the peer")
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "SETTING"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve[0], Setting(**json.loads(args.serve[1])))
        return
    splits = list(itertools.product(args.cores, args.devices or [0], args.parts, args.peer_parts))
    for size, activation, (cores, devices, parts, peer_parts) in itertools.product(SIZES, ACTIVATIONS, splits):
        setting = Setting(*SIZES[size], activation, cores, devices or cores, parts)
        name = f"training/{size}/{activation}/cores={cores}/devices={setting.devices}/parts={parts}/peer={peer_parts}"
        if args.only in name:
            compare(name, setting, peer_parts, args)


if __name__ == "__main__":
    main()
