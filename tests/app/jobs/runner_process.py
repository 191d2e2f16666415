"""A service that does nothing but jobs, to be killed: `python -m tests.app.jobs.runner_process ADDRESS FOLDER MESHES`.

Its meshes are made of nothing and take a moment. It ends when no job is left, and makes no more than MESHES: the next ones never
come, however long it lives.
"""

import asyncio
import itertools
import sys
import threading
import time
from pathlib import Path
from typing import Any

from app.jobs.files import JobFiles
from app.jobs.job import JobState
from app.jobs.runner import JobRunner, Pace
from app.jobs.store import JobStore
from app.products import Product
from app.settings import Settings
from model.formats import FORMATS
from tests.app.jobs.test_runner import Library, Scheduler

SLOTS = 2
MESH_SECONDS = 0.03
LEASE_SECONDS = 300.0  # nobody who lives loses a job, however slow the machine


async def main(address: str, folder: Path, meshes: int) -> None:
    begun = itertools.count()

    def make(reconstructor: Any, image: bytes, *others: Any, **watchers: Any) -> Product:
        if next(begun) >= meshes:
            threading.Event().wait()
        time.sleep(MESH_SECONDS)
        return Product(b"mesh of " + image, FORMATS["glb"], {"faces": 12})

    store = JobStore(address)
    runner = JobRunner(
        store,
        JobFiles(folder),
        Library(),  # type: ignore[arg-type]
        Scheduler(),  # type: ignore[arg-type]
        Settings(job_slots=SLOTS),
        make=make,
        pace=Pace(lease=LEASE_SECONDS, heartbeat=0.2, poll=0.05),
    )
    runner.start()
    while (counts := await asyncio.to_thread(store.counts))[JobState.QUEUED] or counts[JobState.RUNNING]:
        await asyncio.sleep(0.02)
    await runner.drain()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
