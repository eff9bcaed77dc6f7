"""``circuits probe``: scores, interventions and development of the circuit in trained checkpoints."""

from typing import Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes, arg, configure, subcommand

from circuits.commands.probe_development import Development, development
from circuits.commands.probe_interventions import Interventions, interventions
from circuits.commands.probe_scores import Scored, score

Asked = (
    Annotated[Scored, subcommand("scores", description=Scored.__doc__)]
    | Annotated[Interventions, subcommand("interventions", description=Interventions.__doc__)]
    | Annotated[Development, subcommand("development", description=Development.__doc__)]
)


@configure(OmitArgPrefixes, OmitSubcommandPrefixes, FlagCreatePairsOff)
def probe(asked: Annotated[Asked, arg(name="")]) -> int:
    """Find the reverse reasoning circuit: what heads look at, what breaks without them, and when it formed.

    Exit code 0: done. 2: bad usage.

    Args:
        asked: which probe.
    """
    if isinstance(asked, Scored):
        return score(asked)
    return development(asked) if isinstance(asked, Development) else interventions(asked)
