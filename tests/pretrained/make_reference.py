"""Write the references: small models of transformers, and what that library computes.

    reference/<name>/config.json, model.safetensors    as save_pretrained writes them
    reference/<name>/expected.safetensors              tokens [T], logits [T, V], patterns [L, H, T, T] in float64

Run as ``python -m tests.pretrained.make_reference`` where torch and transformers are installed. All computation is in
float64, also where the reference implementation normally falls back to float32.
"""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.pretrained.hugging_face import GPT2, LLAMA, LLAMA3, NEOX, all_in_float64, outputs, random_model, tokens

HERE = Path(__file__).parent / "reference"
REFERENCES = {
    "gpt2": ("gpt2", GPT2 | {"n_embd": 8, "n_head": 2, "n_inner": 12}),
    "llama": ("llama", LLAMA | {"hidden_size": 8, "head_dim": 16, "intermediate_size": 12, "rope_parameters": LLAMA3}),
    "mistral": ("mistral", LLAMA | {"intermediate_size": 12, "sliding_window": 4}),
    "qwen2": ("qwen2", LLAMA | {"intermediate_size": 12, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", LLAMA | {"hidden_size": 8, "intermediate_size": 12, "head_dim": 6}),
    "gpt_neox": ("gpt_neox", NEOX | {"intermediate_size": 12}),
}


def write(name: str) -> None:
    """Write one reference, with weights drawn in float32 and computation in float64."""
    kind, settings = REFERENCES[name]
    plain = random_model(kind, settings)
    plain.save_pretrained(HERE / name)
    (HERE / name / "generation_config.json").unlink(missing_ok=True)
    with all_in_float64(pytest.MonkeyPatch()):
        model = random_model(kind, settings, import_module("torch").float64)
        model.load_state_dict({key: value.double() for key, value in plain.state_dict().items()})
        logits, patterns = outputs(model, tokens())
    found = {"tokens": tokens(), "logits": logits, "patterns": np.ascontiguousarray(patterns)}
    safetensors.numpy.save_file(found, HERE / name / "expected.safetensors")


if __name__ == "__main__":
    for each in REFERENCES:
        write(each)
