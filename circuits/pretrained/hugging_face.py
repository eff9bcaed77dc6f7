"""Load a pretrained model from a folder in the Hugging Face layout: config, safetensors, tokenizer."""

from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

from circuits import checks
from circuits.pretrained.families import FAMILIES, NEUTRAL_VALUES, Family
from circuits.pretrained.fields import Fields, fixed
from circuits.pretrained.matching import match_tensors
from circuits.pretrained.placement import on_first_device
from circuits.pretrained.pretrained import Pretrained
from circuits.pretrained.safe_files import file_inside, read_json
from circuits.pretrained.tensor_files import folder_tensors
from circuits.transformer.config import Dtype, Precision, TransformerConfig
from circuits.transformer.parameters import Placement, predictor_from_tensors

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
NOTED = ("model_type", "architectures", "bos_token_id", "eos_token_id", "pad_token_id", "transformers_version")


def load_pretrained(
    folder: str | Path,
    *,
    dtype: Dtype = "float32",
    param_dtype: Dtype | None = None,
    precision: Precision = "highest",
    positions: int | None = None,
    placement: Placement | None = None,
) -> Pretrained:
    """Return the model of a folder with config.json, safetensors and optionally tokenizer.json.

    No other file is read.

    Args:
        folder: with a config.json of model_type gpt2, gpt_neox, llama, mistral, qwen2 or qwen3.
        dtype: dtype of the activations.
        param_dtype: dtype of the parameters. None: as in the file.
        precision: precision of matrix products on accelerators.
        positions: shorter maximum length of a sequence. None: that of the config.
        placement: puts each parameter on its devices in ``param_dtype``, for example ``circuits.pretrained.sharded``.
            None: on the first device.

    Returns:
        The model, its tokenizer if the folder has one, and some fields of config.json as notes.

    Raises:
        ValueError: naming the file, and the field or tensor, that is missing, damaged, outside the folder, inconsistent
            or not implemented.

    Example:
        >>> import json, tempfile
        >>> from safetensors.numpy import save_file
        >>> sizes = {"n_embd": 4, "n_layer": 1, "n_head": 2, "n_inner": 8, "vocab_size": 9, "n_positions": 6}
        >>> norms = {f"{name}.{part}": (4,) for name in ("h.0.ln_1", "h.0.ln_2", "ln_f") for part in ("weight", "bias")}
        >>> layers = {"attn.c_attn": (4, 12), "attn.c_proj": (4, 4), "mlp.c_fc": (4, 8), "mlp.c_proj": (8, 4)}
        >>> kernels = {f"h.0.{name}.weight": shape for name, shape in layers.items()}
        >>> biases = {f"h.0.{name}.bias": shape[1:] for name, shape in layers.items()}
        >>> shapes = {"wte.weight": (9, 4), "wpe.weight": (6, 4)} | norms | kernels | biases
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "config.json").write_text(json.dumps({"model_type": "gpt2"} | sizes))
        ...     tensors = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        ...     save_file(tensors, Path(folder) / "model.safetensors")
        ...     load_pretrained(folder).model.config.layers
        1
    """
    folder = Path(folder)
    for name, value in (("dtype", dtype), ("param_dtype", param_dtype or "float32")):
        checks.choice(name, value, get_args(Dtype))
        exact = jax.dtypes.canonicalize_dtype(value) == jnp.dtype(value)
        checks.require(exact, name, "must not be float64 unless jax_enable_x64 is on", value)
    checks.require(folder.is_dir(), "folder", "must be a directory", str(folder))
    fields = read_json(file_inside(folder, CONFIG))
    family, settings = _read_fields(fields)
    longest = settings["positions"]
    checks.integer("positions", longest if positions is None else positions, 1, longest)
    views = match_tensors(family, settings, folder_tensors(folder), positions)
    stored = param_dtype or views.common_dtype()
    chosen: dict[str, Any] = {"positions": positions or longest, "dtype": dtype, "param_dtype": stored}
    config = TransformerConfig(**settings | chosen, precision=precision)
    model = predictor_from_tensors(config, views, str(folder), _checked(placement or on_first_device(stored), stored))
    notes = {name: fields[name] for name in NOTED if name in fields} | {"positions": longest}
    return Pretrained(model, _tokenizer(folder), notes)


def _read_fields(fields: Fields) -> tuple[Family, dict[str, Any]]:
    """Return the family and its settings, after all checks that do not need the tensors."""
    try:
        kind = fields.get("model_type")
        checks.require(isinstance(kind, str) and kind in FAMILIES, "model_type", f"must be one of {[*FAMILIES]}", kind)
        fixed(fields, NEUTRAL_VALUES)
        family = FAMILIES[str(kind)]
        settings = family.settings(fields)
        TransformerConfig(**settings)
    except ValueError as error:
        raise ValueError(f"{CONFIG}: {error}") from error
    return family, settings


def _checked(placement: Placement, dtype: Dtype) -> Placement:
    def place(name: str, values: np.ndarray) -> jax.Array:
        array = placement(name, values)
        got = (array.shape, str(array.dtype))
        rule = f"must return shape {values.shape} and dtype {dtype}"
        checks.require(got == (values.shape, dtype), "placement", rule, got)
        return array

    return place


def _tokenizer(folder: Path) -> Tokenizer | None:
    if not (folder / TOKENIZER).is_symlink() and not (folder / TOKENIZER).exists():
        return None
    path = file_inside(folder, TOKENIZER)
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"{TOKENIZER}: must describe a tokenizer, got {str(path)!r} ({error})") from error
