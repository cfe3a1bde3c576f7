"""All cells of a plan -> their records, one after another in this process."""

from __future__ import annotations

import time
from collections import deque

from cabench.plan import Plan
from cabench.store import Record, Store
from cabench.worker import Options, Watch, Worker

POLL = 0.5  # seconds between two looks at cells that other processes run


def execute(plan: Plan, store: Store, options: Options = Options(), watch: Watch = lambda *_: None) -> list[Record]:
    """Run every cell of the plan that has no finished record of today's code, and return all their records.

    A finished cell that lacks some of the metrics, or holds those of an older version, is measured again from its
    codes. Cells that another process runs are waited for.

    Args:
        plan: the cells.
        store: where their records lie.
        options: how they are run.
        watch: is told what goes on.

    Raises:
        UserError: a data set's raw files are missing, or the results folder cannot be written.
    """
    store.check_writable()
    worker = Worker(plan, store, options)
    records: dict[str, Record] = {}
    waiting = deque(plan.cells)
    while waiting:
        began = len(waiting)
        for _ in range(began):
            spec = waiting.popleft()
            record = worker.run(spec, watch)
            if record is None:
                waiting.append(spec)
            else:
                records[spec.run_id] = record
        if len(waiting) == began:
            time.sleep(POLL)
    return [records[spec.run_id] for spec in plan.cells]
