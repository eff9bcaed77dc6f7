"""Write the inventories: the names of other projects that our pages refer to, with the addresses of their pages.

    python docs/inventories/inventories.py

Sphinx reads these files instead of fetching the projects' own. A name that no inventory has fails the strict build; add
it to the table below, under the name that Python gives it, and run this script.
"""

import zlib
from pathlib import Path

FOLDER = Path(__file__).parent
PROJECTS = {
    "python": (
        "https://docs.python.org/3/",
        {
            "class": {
                "collections.abc.Callable": "library/collections.abc.html#collections.abc.Callable",
                "collections.abc.Iterable": "library/collections.abc.html#collections.abc.Iterable",
                "collections.abc.Iterator": "library/collections.abc.html#collections.abc.Iterator",
                "collections.abc.Mapping": "library/collections.abc.html#collections.abc.Mapping",
                "collections.abc.Sequence": "library/collections.abc.html#collections.abc.Sequence",
                "bool": "library/functions.html#bool",
                "bytes": "library/stdtypes.html#bytes",
                "fractions.Fraction": "library/fractions.html#fractions.Fraction",
                "dict": "library/stdtypes.html#dict",
                "float": "library/functions.html#float",
                "int": "library/functions.html#int",
                "list": "library/stdtypes.html#list",
                "object": "library/functions.html#object",
                "pathlib.Path": "library/pathlib.html#pathlib.Path",
                "set": "library/stdtypes.html#set",
                "str": "library/stdtypes.html#str",
                "tuple": "library/stdtypes.html#tuple",
            },
            "data": {
                "None": "library/constants.html#None",
                "typing.Any": "library/typing.html#typing.Any",
                "typing.Literal": "library/typing.html#typing.Literal",
            },
            "exception": {
                "FileNotFoundError": "library/exceptions.html#FileNotFoundError",
                "TypeError": "library/exceptions.html#TypeError",
                "ValueError": "library/exceptions.html#ValueError",
            },
        },
    ),
    "diffrax": (
        "https://docs.kidger.site/diffrax/",
        {
            "class": {
                "diffrax._global_interpolation.DenseInterpolation": "api/interpolation/#diffrax.DenseInterpolation",
            }
        },
    ),
    "flax": (
        "https://flax.readthedocs.io/en/latest/",
        {
            "class": {
                "flax.nnx.module.Module": "api_reference/flax.nnx/module.html#flax.nnx.Module",
                "flax.nnx.rnglib.Rngs": "api_reference/flax.nnx/rnglib.html#flax.nnx.Rngs",
            }
        },
    ),
    "flint": (
        "https://python-flint.readthedocs.io/en/latest/",
        {"class": {"flint.types.arb.arb": "arb.html#flint.arb"}},
    ),
    "jax": (
        "https://docs.jax.dev/en/latest/",
        {
            "class": {
                "jax.Array": "_autosummary/jax.Array.html#jax.Array",
                "jaxlib._jax.Array": "_autosummary/jax.Array.html#jax.Array",
                "jax._src.mesh.Mesh": "jax.sharding.html#jax.sharding.Mesh",
            }
        },
    ),
    "jaxtyping": (
        "https://docs.kidger.site/jaxtyping/",
        {
            "class": {
                f"jaxtyping.{name}": "api/array/" for name in ("Array", "Bool", "Float", "Int", "Key", "Real", "UInt32")
            }
        },
    ),
    "matplotlib": (
        "https://matplotlib.org/stable/",
        {
            "class": {
                "matplotlib.axes._axes.Axes": "api/axes_api.html#matplotlib.axes.Axes",
                "matplotlib.figure.Figure": "api/figure_api.html#matplotlib.figure.Figure",
            }
        },
    ),
    "networkx": (
        "https://networkx.org/documentation/stable/",
        {"class": {"networkx.classes.digraph.DiGraph": "reference/classes/digraph.html#networkx.DiGraph"}},
    ),
    "numpy": (
        "https://numpy.org/doc/stable/",
        {
            "class": {
                "numpy.dtype": "reference/generated/numpy.dtype.html#numpy.dtype",
                "numpy.integer": "reference/arrays.scalars.html#numpy.integer",
                "numpy.ndarray": "reference/generated/numpy.ndarray.html#numpy.ndarray",
            }
        },
    ),
    "optax": (
        "https://optax.readthedocs.io/en/latest/",
        {
            "class": {
                "optax._src.base.GradientTransformation": ("api/transformations.html#optax.GradientTransformation"),
            }
        },
    ),
    "tokenizers": (
        "https://huggingface.co/docs/tokenizers/",
        {"class": {"tokenizers.Tokenizer": "api/tokenizer#tokenizers.Tokenizer"}},
    ),
}


def inventory(project: str, names: dict[str, dict[str, str]]) -> bytes:
    """Return an inventory of the Python domain in the format that Sphinx reads, version 2."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    lines = [f"{name} py:{kind} 1 {page} -\n" for kind, pages in names.items() for name, page in pages.items()]
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


def main() -> None:
    for project, (_, names) in PROJECTS.items():
        (FOLDER / f"{project}.inv").write_bytes(inventory(project, names))


if __name__ == "__main__":
    main()
