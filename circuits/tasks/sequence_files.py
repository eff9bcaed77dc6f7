"""Token sequences from a file of problems in the public text format."""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from circuits import checks
from circuits.tasks.star.text import parse_line
from circuits.tasks.token_format import TokenFormat, encode_problem, solve


def read_sequences(format: TokenFormat, path: str | Path) -> Int[np.ndarray, "n T"]:
    """The ids of every problem of a file, one line each; int32.

    Lines are ``u,v|u,v|.../start,goal=n0,n1,...`` for stars and for trees, in either style of ``format``, with
    the ends in the order of ``format.query``. Every line is solved, so a wrong answer is found.

    Raises ValueError("line {number}: ...") for the first line that breaks the text format, holds a label that
    is not below N, or is no problem of the family; ValueError naming ``path`` for a file without lines; and
    OSError from the file.
    """
    read = partial(parse_line, labels=format.family.labels, query=format.query, solver=partial(solve, format.family))
    # A byte that is no ASCII becomes a sign that is no label, so that the error names its line.
    with open(path, encoding="ascii", errors="replace") as lines:
        rows = [encode_problem(format, read(line, number=number)) for number, line in enumerate(lines, start=1)]
    checks.require(bool(rows), "path", "must hold at least one line", str(path))
    return np.stack(rows)
