"""Real code of the engine under drawn schedules: whatever happens, nothing acknowledged is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, note, settings

from simulation.schedules import Schedule, schedules
from simulation.store import SimulatedStore
from simulation.world import Counts, Machine, World

SCHEDULES = settings().max_examples // 2


@pytest.mark.parametrize("with_faults", [False, True], ids=["sound", "faulty"])
def test_nothing_acknowledged_is_lost(machine: Machine, counts: Counts, with_faults: bool) -> None:
    @settings(max_examples=SCHEDULES)
    @given(schedules(with_faults=with_faults))
    def explore(schedule: Schedule) -> None:
        machine.begin(schedule.seed)
        faults = {host: schedule.faults_of(host) for host in range(len(schedule.tasks))}
        store = SimulatedStore(schedule.store)
        with World(machine, store, schedule.skews_s, faults) as world:
            try:
                schedule.run(world)
            except BaseException:
                note("\n".join(store.transcript))
                raise
            finally:
                counts.add(world)

    explore()


def test_a_schedule_runs_the_same_way_every_time(machine: Machine) -> None:
    transcripts: list[list[str]] = []

    @settings(max_examples=settings().max_examples // 10)
    @given(schedules())
    def explore(schedule: Schedule) -> None:
        transcripts.clear()
        for _ in range(2):
            machine.begin(schedule.seed)
            faults = {host: schedule.faults_of(host) for host in range(len(schedule.tasks))}
            with World(machine, SimulatedStore(schedule.store), schedule.skews_s, faults) as world:
                schedule.run(world)
                transcripts.append(world.store.transcript)
        assert transcripts[0] == transcripts[1]

    explore()
