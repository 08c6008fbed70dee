"""Testing sagas: a clock that is moved, kills at every point, simulated workers, and replay of journals."""

from amends.sagas.testing.clock import VirtualClock
from amends.sagas.testing.crash import CrashReport, crash_test
from amends.sagas.testing.failures import CrashTestFailed, SimulationFailed
from amends.sagas.testing.people import Decides
from amends.sagas.testing.replaying import Replayed, ReplayReport, replay
from amends.sagas.testing.seeded import Trace, simulate
from amends.sagas.testing.world import World

__all__ = [
    "CrashReport",
    "CrashTestFailed",
    "Decides",
    "ReplayReport",
    "Replayed",
    "SimulationFailed",
    "Trace",
    "VirtualClock",
    "World",
    "crash_test",
    "replay",
    "simulate",
]
