"""``circuits probe``: scores, interventions, powers of the adjacency matrix, and development in trained checkpoints."""

from typing import Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes, arg, configure, subcommand

from circuits.cli.probe_adjacency import Adjacency, adjacency
from circuits.cli.probe_development import Development, development
from circuits.cli.probe_interventions import Interventions, interventions
from circuits.cli.probe_scores import Scored, score

Asked = (
    Annotated[Scored, subcommand("scores", description=Scored.__doc__)]
    | Annotated[Interventions, subcommand("interventions", description=Interventions.__doc__)]
    | Annotated[Adjacency, subcommand("adjacency", description=Adjacency.__doc__)]
    | Annotated[Development, subcommand("development", description=Development.__doc__)]
)


@configure(OmitArgPrefixes, OmitSubcommandPrefixes, FlagCreatePairsOff)
def probe(asked: Annotated[Asked, arg(name="")]) -> int:
    """Find the circuit: what heads look at, what breaks without them, which matrices hold the graph, and since when.

    Exit code 0: done. 2: bad usage.

    Args:
        asked: which probe.
    """
    if isinstance(asked, Scored):
        return score(asked)
    if isinstance(asked, Adjacency):
        return adjacency(asked)
    return development(asked) if isinstance(asked, Development) else interventions(asked)
