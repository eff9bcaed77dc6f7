"""The training objectives of disentangled models, as weights of the three losses."""

from typing import NamedTuple


class Mix(NamedTuple):
    """The weights of the losses L1a, L1b and L2 in an objective."""

    plan: float
    replay: float
    goal: float


OBJECTIVES: dict[str, Mix] = {
    "mtp": Mix(0.25, 0.25, 0.5),  # Eq. 3
    "ntp": Mix(0.5, 0.5, 0.0),  # its next-token part
    "mtp-without-replay": Mix(0.25, 0.0, 0.5),  # Eq. 3 without L1b
    "plan": Mix(1.0, 0.0, 0.0),  # L1a alone
}
