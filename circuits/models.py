"""Load any checkpoint: a run, a saved model, a pretrained model, disentangled weights, or a shipped checkpoint."""

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from safetensors import safe_open
from tokenizers import Tokenizer

from circuits import checks, display
from circuits.disentangled.files import load_weights
from circuits.pretrained.gguf import load_gguf
from circuits.pretrained.hugging_face import load_pretrained
from circuits.pretrained.safe_files import read_json
from circuits.tasks.task import Task
from circuits.training.evaluation import score
from circuits.training.stored import noted_task, read_run
from circuits.transformer.weights_file import CONFIG, WEIGHTS, load_saved_model, tokenizer_of

PACKAGE = Path(str(files("circuits")))
INSTALLED = PACKAGE / "checkpoints"
CHECKPOINTS = INSTALLED if INSTALLED.is_dir() else PACKAGE.parent / "checkpoints"
"""The folder of the shipped checkpoints: inside an installed package, next to it in the repository."""
KINDS = "a run, a saved model, a folder in the Hugging Face layout, a .gguf file or disentangled .safetensors weights"


class LoadedModel(NamedTuple):
    """A model with its task, tokenizer and notes.

    Args:
        name: the name of the file or folder, with seed and step for a run.
        model: a ``Predictor``, a ``OneLayer``, or the ``Weights`` of a disentangled model.
        task: the task that it was trained on. None for a language model, disentangled weights, or a model saved
            without its task.
        tokenizer: the tokenizer of the task's vocabulary or of the language model, None if there is none.
        notes: metadata saved with the model: step, seed and objective of a run, fields of a pretrained config.
    """

    name: str
    model: Any
    task: Task | None
    tokenizer: Tokenizer | None
    notes: dict[str, Any]

    @display.safe
    def _repr_html_(self) -> str:
        facts = {"task": "none" if self.task is None else f"{self.task.words}: {self.task.config}"}
        if self.tokenizer is not None:
            facts["tokenizer"] = f"{self.tokenizer.get_vocab_size():,} tokens"
        facts |= {name: value for name, value in self.notes.items() if name not in ("task", "heads")}
        parts = self.model if isinstance(self.model, tuple) else [self.model]  # a tuple of disentangled layers
        return display.facts(self.name, facts) + "".join(part._repr_html_() for part in parts)


def load_model(source: str | Path, *, step: int | None = None, seed: int | None = None) -> LoadedModel:
    """Load any checkpoint.

    Args:
        source: the folder of a run or of a saved model, a folder in the Hugging Face layout, a GGUF file, a safetensors
            file of a disentangled model, or the name of a shipped checkpoint (see ``shipped_checkpoints``).
        step: the step of a run. None: its latest checkpoint.
        seed: the seed of a run. None: its first.

    Returns:
        The model with its task, tokenizer and notes.

    Raises:
        ValueError: if ``source`` does not exist, is not a checkpoint, or does not have the step or seed; naming the
            file that is damaged.

    Example:
        >>> loaded = load_model("star-2x5-mtp3")
        >>> loaded.model.config.prediction_heads, loaded.task.config.graph, loaded.notes["step"]
        (3, 'star', 1500)
    """
    path = checkpoint_path(source)
    if path.name == WEIGHTS:
        path = path.parent
    if path.is_file():
        _one_model(step, seed)
        if path.suffix == ".gguf":
            model, tokenizer, notes = load_gguf(path)
            return LoadedModel(path.name, model, None, tokenizer, notes)
        checks.require(path.suffix == ".safetensors", "source", f"must be {KINDS}", str(source))
        weights = load_weights(path)
        with safe_open(path, framework="numpy") as file:
            return LoadedModel(path.stem, weights, None, None, file.metadata() or {})
    if "model_type" in _fields(path / CONFIG):
        _one_model(step, seed)
        model, tokenizer, notes = load_pretrained(path)
        return LoadedModel(path.name, model, None, tokenizer, notes)
    if (path / WEIGHTS).exists():
        return _saved_model(path, step, seed)
    checks.require((path / CONFIG).exists(), "source", f"must be {KINDS}", str(source))
    return _run_model(path, step, seed)


def checkpoint_path(source: str | Path) -> Path:
    """Return the path of a checkpoint.

    Args:
        source: its path, or the name of a shipped checkpoint.

    Raises:
        ValueError: if there is neither, naming the most similar shipped checkpoints.

    Example:
        >>> checkpoint_path("star-2x5-mtp3").name
        'star-2x5-mtp3'
    """
    if Path(source).exists():
        return Path(source)
    shipped = _shipped()
    near = get_close_matches(str(source), shipped, n=3, cutoff=0.4) or sorted(shipped)
    rule = f"must exist, or be the name of a shipped checkpoint such as {', '.join(near)}"
    checks.require(str(source) in shipped, "source", rule, str(source))
    return shipped[str(source)]


def shipped_checkpoints() -> list[str]:
    """Return the names of the checkpoints that come with the package.

    Example:
        >>> "star-2x5-mtp3" in shipped_checkpoints()
        True
    """
    return sorted(_shipped())


def held_out_problems(loaded: LoadedModel, count: int) -> Int[np.ndarray, "n T"]:
    """Return up to ``count`` problems that the model was not trained on, with their answers, as tokens.

    They are from the test split of the model's own task, and the same at each call.

    Args:
        loaded: a model with a task.
        count: maximum number of problems, n.

    Raises:
        ValueError: for a model without a task, and unless ``count`` is a positive integer.

    Example:
        >>> held_out_problems(load_model("star-2x5-mtp3"), 4).shape
        (4, 22)
    """
    checks.integer("count", count, min_value=1)
    return np.asarray(_task(loaded).problems("test", count), np.int32)


def accuracy(loaded: LoadedModel, problems: Int[np.ndarray, "n T"] | int) -> dict[str, Any]:
    """Return the accuracy of a model on problems of its task, as shares by name.

    Args:
        loaded: a model with a task.
        problems: tokens [n, T] of prompts and answers, or the number of held-out problems.

    Returns:
        ``exact``, the share of completely correct answers, and further shares that depend on the task.

    Raises:
        ValueError: for a model without a task.

    Example:
        >>> accuracy(load_model("dag-ntp"), 8)["exact"]
        1.0
    """
    rows = held_out_problems(loaded, problems) if isinstance(problems, int) else problems
    teacherless = loaded.notes.get("objective") == "teacherless"
    return score(loaded.model, _task(loaded), rows, teacherless)


def _shipped() -> dict[str, Path]:
    """Return the path of each shipped checkpoint by name."""
    folders = [path.parent for path in CHECKPOINTS.glob(f"*/{WEIGHTS}")]
    return {path.stem: path for path in (*folders, *CHECKPOINTS.glob("*.safetensors"))}


def _fields(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (OSError, ValueError):  # not a Hugging Face folder; the reader of our own folders will name the error
        return {}


def _one_model(step: int | None, seed: int | None) -> None:
    for name, value in (("step", step), ("seed", seed)):
        checks.require(value is None, name, "must be left out for a checkpoint that holds one model", value)


def _saved_model(folder: Path, step: int | None, seed: int | None) -> LoadedModel:
    model, format, notes = load_saved_model(folder)
    own_seed = notes.get("seed")
    _one_model(step, None if seed == own_seed else seed)
    task = noted_task(folder, notes) if "task" in notes else None
    return LoadedModel(folder.name, model, task, None if format is None else tokenizer_of(format), notes)


def _run_model(folder: Path, step: int | None, seed: int | None) -> LoadedModel:
    by_seed = {stored.seed: stored for stored in read_run(folder, step)}
    wanted = min(by_seed) if seed is None else seed
    checks.require(wanted in by_seed, "seed", f"must be one of {sorted(by_seed)}", seed)
    stored = by_seed[wanted]
    return LoadedModel(stored.name, stored.model, stored.task, tokenizer_of(stored.task.format), stored.notes)


def _task(loaded: LoadedModel) -> Task:
    if loaded.task is None:
        raise ValueError(f"loaded: must be a model with a task of its own, got {loaded.name!r}")
    return loaded.task
