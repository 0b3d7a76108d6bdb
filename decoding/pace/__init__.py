"""What an engine knows about its own speed: what forwards cost, and what they bring."""

from decoding.pace.acceptance import Guesser
from decoding.pace.account import Account, Outlook, Pace, PaceStats
from decoding.pace.calibration import calibrate
from decoding.pace.cost import Curve, ForwardCost, RunningCost
from decoding.pace.kept import KeptCost, MeasureCost

__all__ = [
    "Account",
    "Curve",
    "ForwardCost",
    "Guesser",
    "KeptCost",
    "MeasureCost",
    "Outlook",
    "Pace",
    "PaceStats",
    "RunningCost",
    "calibrate",
]
