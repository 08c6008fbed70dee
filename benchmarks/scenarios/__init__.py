"""The scenarios, one module each, with `measure(url, size)`, which gives the figures.

A scenario is run by `benchmarks.child`; its module is imported there only, so that the process that
measures holds nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """A module, what it does with `size` things, and how many these are unless asked otherwise."""

    module: str
    title: str
    size: int


def _scenario(module: str, title: str, size: int) -> Scenario:
    return Scenario(f"{__name__}.{module}", title, size)


SCENARIOS = {
    "A": _scenario("a_chain", "one run of {:,} steps in a row, one of ten times as many reads", 1000),
    "B": _scenario("b_many_runs", "{:,} runs of 5 steps, started at once", 1000),
    "C": _scenario("c_latency", "{:,} runs of one step, each on an idle system", 300),
    "D": _scenario("d_sleepers", "{:,} runs asleep for an hour", 10_000),
    "E": _scenario("e_killed", "B with {:,} runs, the worker killed half-way and restarted", 1000),
    "F": _scenario("f_signals", "{:,} runs that wait for a signal, sent to one after the other", 1000),
    "G": _scenario("g_long_run", "a run with {:,} finished steps, resumed", 10_000),
    "H": _scenario("h_workers", "{:,} runs of 5 steps, done by 1, 2 and 4 workers", 4000),
    "I": _scenario("i_position", "a step at the beginning and at the end of {:,}", 10_000),
    "J": _scenario("j_compensations", "{:,} runs of 5 steps that fail at the last and undo the others", 1000),
    "K": _scenario("k_agents", "{:,} agents of 10 turns with 3 calls of tools each, started at once", 200),
    "L": _scenario("l_events", "{:,} events into a thousand keyed runs", 20_000),
    "M": _scenario("m_traces", "a run of {:,} steps untraced, traced, and with an exporter that hangs", 1000),
}
