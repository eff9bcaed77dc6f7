"""Models of other people in folders as Hugging Face's transformers writes them: config, safetensors, tokenizer."""

from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

from circuits import checks
from circuits.pretrained.families import FAMILIES, Family
from circuits.pretrained.families import NEUTRAL_VALUES
from circuits.pretrained.fields import Fields, fixed
from circuits.pretrained.safe_files import read_json
from circuits.pretrained.safe_files import file_inside
from circuits.pretrained.matching import matched
from circuits.pretrained.placement import on_first_device
from circuits.pretrained.pretrained import Pretrained
from circuits.pretrained.tensor_files import folder_tensors
from circuits.transformer.config import Dtype, Precision, TransformerConfig
from circuits.transformer.parameters import Placement
from circuits.transformer.parameters import predictor_from_tensors

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
NOTED = ("model_type", "architectures", "bos_token_id", "eos_token_id", "pad_token_id", "transformers_version")


def load_pretrained(
    folder: Path,
    *,
    dtype: Dtype = "float32",
    param_dtype: Dtype | None = None,
    precision: Precision = "highest",
    positions: int | None = None,
    place: Placement | None = None,
) -> Pretrained:
    """The model of a folder with config.json, safetensors and perhaps tokenizer.json; no other file is read.

    Args:
        folder: with a config.json of model_type gpt2, gpt_neox, llama, mistral, qwen2 or qwen3.
        dtype: of the activations.
        param_dtype: of the parameters. None: as in the file; the widest of several.
        precision: of matrix products on accelerators.
        positions: cuts the context to this length, at most that of the config.
        place: puts each parameter where it belongs, in ``param_dtype``, such as ``circuits.pretrained.sharded``. None:
            whole on the first device.

    Raises ValueError naming the file, and the field or tensor, that is missing, damaged, leads out of the folder, does
    not fit the others, or asks for what the transformer does not do.
    """
    for name, kind in (("dtype", dtype), ("param_dtype", param_dtype or "float32")):
        checks.choice(name, kind, get_args(Dtype))
        exact = jax.dtypes.canonicalize_dtype(kind) == jnp.dtype(kind)
        checks.require(exact, name, "must not be float64 unless jax_enable_x64 is on", kind)
    checks.require(folder.is_dir(), "folder", "must be a directory", str(folder))
    fields = read_json(file_inside(folder, CONFIG))
    family, settings = _of_config(fields)
    most = settings["positions"]
    checks.integer("positions", most if positions is None else positions, 1, most)
    views = matched(family, settings, folder_tensors(folder), positions)
    kind = param_dtype or views.widest()
    chosen: dict[str, Any] = {"positions": positions or most, "dtype": dtype, "param_dtype": kind}
    config = TransformerConfig(**settings | chosen, precision=precision)
    model = predictor_from_tensors(config, views, str(folder), _checked(place or on_first_device(kind), kind))
    notes = {name: fields[name] for name in NOTED if name in fields} | {"positions": most}
    return Pretrained(model, _tokenizer(folder), notes)


def _of_config(fields: Fields) -> tuple[Family, dict[str, Any]]:
    """The family, and its settings checked as far as they can be without the tensors."""
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


def _checked(place: Placement, kind: Dtype) -> Placement:
    def put(name: str, values: np.ndarray) -> jax.Array:
        found = place(name, values)
        form = (found.shape, str(found.dtype))
        checks.require(form == (values.shape, kind), "place", f"must keep shape {values.shape} and make {kind}", form)
        return found

    return put


def _tokenizer(folder: Path) -> Tokenizer | None:
    if not (folder / TOKENIZER).is_symlink() and not (folder / TOKENIZER).exists():
        return None
    path = file_inside(folder, TOKENIZER)
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"{TOKENIZER}: must describe a tokenizer, got {str(path)!r} ({error})") from error
