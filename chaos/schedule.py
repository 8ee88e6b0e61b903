"""Which fault strikes what, and when. No I/O, no clock: all chance comes from the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Blow = Literal["kill", "stop", "fault"]

# The monitor and the dashboard are of no use for the next byte, the other two are: all may go at any moment.
PROCESSES = ("monitor", "scheduler", "scheduler.worker", "dashboard")
NODE_FAULTS = ("down", "silent", "silent_data", "503", "stall", "slow", "corrupt", "truncate")
# A private stack starts five dead processes again within a minute, and gives up at the sixth.
MAX_KILLS = 4
FIRST_SEC = 0.3
MIN_GAP_SEC = 0.2
STOP_SEC = (0.3, 2.0)
# After it a process has time to catch up; without any, stops add up to more than the buffer holds.
REST_SEC = 2.0
FAULT_SEC = (0.5, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One blow at `at_sec` after the start: a process killed, or stopped for `for_sec`; a node broken for so long.

    `target` is a process' module, or the number of a node from 1; `index` says which of several like processes.
    """

    at_sec: float
    blow: Blow
    target: str
    for_sec: float = 0.0
    fault: str = "none"
    index: int = 0

    def __str__(self) -> str:
        if self.blow == "fault":
            return f"{self.at_sec:.2f} s: node {self.target} {self.fault} for {self.for_sec:.2f} s"
        name = (
            f"{self.target} {self.index + 1}" if self.target == "scheduler.worker" else self.target
        )
        lasts = f" for {self.for_sec:.2f} s" if self.blow == "stop" else ""
        return f"{self.at_sec:.2f} s: {self.blow} {name}{lasts}"


def strikes(seed: int, *, until_sec: float, nodes: int, workers: int) -> tuple[Strike, ...]:
    """Return the strikes of one run, in order of time.

    A stall that nobody could have avoided proves nothing. So the last node is never touched, and of each kind of
    process one at a time is stopped or killed.
    """
    rng = random.Random(seed)
    found: list[Strike] = []
    at_sec = FIRST_SEC + rng.uniform(0, 1)
    kills = 0
    free_sec = dict.fromkeys(PROCESSES, 0.0)
    while at_sec < until_sec:
        blow: Blow = rng.choices(("kill", "stop", "fault"), weights=(3, 2, 3))[0]
        if blow == "kill" and kills == MAX_KILLS:
            blow = "fault"
        if blow == "fault":
            found.append(
                Strike(
                    at_sec=at_sec,
                    blow=blow,
                    target=str(rng.randrange(1, nodes)),
                    for_sec=rng.uniform(*FAULT_SEC),
                    fault=rng.choice(NODE_FAULTS),
                )
            )
        else:
            target = rng.choice(PROCESSES)
            for_sec = rng.uniform(*STOP_SEC) if blow == "stop" else 0.0
            index = rng.randrange(workers) if target == "scheduler.worker" else 0
            if at_sec >= free_sec[target]:
                kills += blow == "kill"
                free_sec[target] = at_sec + for_sec + REST_SEC
                found.append(
                    Strike(at_sec=at_sec, blow=blow, target=target, for_sec=for_sec, index=index)
                )
        at_sec += MIN_GAP_SEC + rng.expovariate(1.0)
    return tuple(found)
