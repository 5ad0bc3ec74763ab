"""The queue between the primary and its workers: procrastinate, on PostgreSQL. Nobody else imports it.

What procrastinate does not promise is the primary's: it has its own clock over every order (`supervision.py`) and its
own fence around every attempt (`desk.py`). So a lost, doubled or forged row costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import partial
from typing import TypeVar

import procrastinate
from procrastinate import exceptions, jobs

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.farm.order_document import Announcement
from devpi_forkbuilder.farm.supervision import QueuedWork

Answer = TypeVar("Answer")
BUILD = "forkbuilder.build"
ANNOUNCE = "forkbuilder.announce"
ANNOUNCEMENTS = "forkbuilder-announcements"
"""The queue in which workers tell the primary of themselves."""
PATIENCE = 15.0
"""Seconds that a call of the primary's waits for the database."""
ROUND = 1.0
"""Seconds between two looks for announcements."""
HEARTBEAT = 5.0
STALLED = 20.0
"""Seconds without a heartbeat after which what a worker had is queued again (procrastinate's "Retry stalled jobs")."""
ANNOUNCING = 20.0
"""Seconds between two announcements of a worker."""
AGAIN = 2.0
"""Seconds until the next try when the database does not answer."""

log = logging.getLogger(__name__)


def app_at(dsn: str) -> procrastinate.App:
    """procrastinate on the database `dsn` (a libpq connection string or URL), not open yet."""
    connector = procrastinate.PsycopgConnector(conninfo=dsn, min_size=1, max_size=4, timeout=PATIENCE)
    return procrastinate.App(connector=connector)


async def prepare(app: procrastinate.App) -> None:
    """Make procrastinate's tables where there are none."""
    if not await app.check_connection_async():
        await app.schema_manager.apply_schema_async()


class Engine:
    """The primary's side (the protocol `FarmQueue`): one thread with its event loop and connections.

    `heard` is called with each announcement. While the database does not answer it is tried again, for ever.
    """

    def __init__(self, dsn: str, heard: Callable[[Announcement], None]) -> None:
        self._dsn, self._heard = dsn, heard
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._app: procrastinate.App | None = None
        self._thread = threading.Thread(target=self._run, name="forkbuilder-farm", daemon=True)

    def start(self) -> None:
        """Connect, beside the server."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect. Nothing of the queue changes."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)

    @property
    def connected(self) -> bool:
        """Whether the database answered last time."""
        return self._app is not None

    def put(self, work: QueuedWork) -> int:
        """See `FarmQueue.put`."""
        return self._call(lambda app: _put(app, work))

    def state(self, number: int) -> str:
        """See `FarmQueue.state`."""
        return self._call(lambda app: _state(app, number))

    def again(self, number: int) -> None:
        """See `FarmQueue.again`."""
        with contextlib.suppress(InfrastructureError):  # it may be gone, which the database calls an error
            self._call(lambda app: app.job_manager.retry_job_by_id_async(number, datetime.now(timezone.utc)))

    def drop(self, number: int) -> None:
        """See `FarmQueue.drop`."""
        with contextlib.suppress(InfrastructureError):
            self._call(lambda app: app.job_manager.cancel_job_by_id_async(number, delete_job=True))

    def depths(self) -> Mapping[str, int]:
        """How many orders wait in each queue."""
        found = self._call(lambda app: app.job_manager.list_queues_async(task=BUILD))
        return {one["name"]: one["todo"] for one in found}

    def _call(self, action: Callable[[procrastinate.App], Awaitable[Answer]]) -> Answer:
        app, loop = self._app, self._loop
        if app is None or loop is None or not self._thread.is_alive():
            raise _unreachable("it is not connected")

        async def within() -> Answer:
            return await asyncio.wait_for(action(app), PATIENCE)

        future = asyncio.run_coroutine_threadsafe(within(), loop)
        try:
            return future.result(2 * PATIENCE)
        except (exceptions.ConnectorException, TimeoutError, asyncio.TimeoutError) as error:
            future.cancel()
            raise _unreachable(type(error).__name__) from error

    def _run(self) -> None:
        asyncio.run(self._connected())

    async def _connected(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            try:
                async with app_at(self._dsn).open_async() as app:
                    await prepare(app)
                    worker = await app.job_manager.register_worker()
                    self._app = app
                    await self._listen(app, worker)
            except Exception as error:
                log.warning("The queue of the farm does not answer: %s", type(error).__name__)
                log.debug("the queue of the farm", exc_info=error)
            self._app = None
            if not self._stopping.is_set():
                await asyncio.sleep(AGAIN)

    async def _listen(self, app: procrastinate.App, worker: int) -> None:
        """Hear announcements, and queue again what stalled workers had. Raises when the database does not answer."""
        manager, since = app.job_manager, time.monotonic()
        while not self._stopping.is_set():
            while (job := await manager.fetch_job(queues=[ANNOUNCEMENTS], worker_id=worker)) is not None:
                self._hear(job)
                await manager.finish_job(job, status=jobs.Status.SUCCEEDED, delete_job=True)
            if time.monotonic() - since > HEARTBEAT:
                since = time.monotonic()
                await manager.update_heartbeat(worker)
                for stalled in await manager.get_stalled_jobs(task_name=BUILD, seconds_since_heartbeat=STALLED):
                    with contextlib.suppress(exceptions.ConnectorException):  # it has just ended
                        await manager.retry_job(stalled)
            await asyncio.sleep(ROUND)
        await manager.unregister_worker(worker)

    def _hear(self, job: jobs.Job) -> None:
        try:
            self._heard(Announcement.read(job.task_kwargs.get("worker")))
        except ValueError as error:
            log.warning("An announcement of a worker was left out: %s", error)


async def _put(app: procrastinate.App, work: QueuedWork) -> int:
    deferrer = app.configure_task(
        BUILD, queue=work.queue, lock=work.group, queueing_lock=work.key, priority=work.urgency, allow_unknown=True
    )
    try:
        return int(await deferrer.defer_async(**work.arguments))
    except exceptions.AlreadyEnqueued:
        # left by a primary that was killed: nobody waits for that one any more
        for job in await app.job_manager.list_jobs_async(queueing_lock=work.key, status=jobs.Status.TODO.value):
            if job.id is not None:
                await app.job_manager.cancel_job_by_id_async(job.id, delete_job=True)
        return int(await deferrer.defer_async(**work.arguments))


async def _state(app: procrastinate.App, number: int) -> str:
    found = {job.status for job in await app.job_manager.list_jobs_async(id=number)}
    return {"todo": "waiting", "doing": "taken"}.get(next(iter(found), ""), "")


def _unreachable(why: str) -> InfrastructureError:
    return InfrastructureError(
        "queue-unreachable",
        f"The database of the farm's queue does not answer ({why}).",
        next_step="Look at the PostgreSQL server of --forkbuilder-farm.",
        retryable=True,
    )


async def try_out(dsn: str) -> None:
    """Come and go as a worker does. Raises InfrastructureError (`queue-unreachable`)."""

    async def come_and_go() -> None:
        async with app_at(dsn).open_async() as app:
            worker = await app.job_manager.register_worker()
            await app.job_manager.unregister_worker(worker)

    try:
        await asyncio.wait_for(come_and_go(), PATIENCE)
    except Exception as error:
        raise _unreachable(type(error.__cause__ or error).__name__) from error


async def serve(
    dsn: str,
    announcement: Announcement,
    build: Callable[[str], None],
    handed_back: type[Exception],
    stopping: threading.Event,
) -> None:
    """A worker's side: run `build` with each offer of its queues, until `stopping` is set and the builds have ended.

    `build` runs in threads; what it raises as `handed_back` is queued again. When the database does not answer it is
    tried again, for ever.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(announcement.builds + 2, "forkbuilder-build"))
    retry = procrastinate.RetryStrategy(wait=1, retry_exceptions={handed_back})
    while not stopping.is_set():
        await _served(dsn, announcement, partial(_with_task, build, retry), stopping)


def _with_task(build: Callable[[str], None], retry: procrastinate.RetryStrategy, app: procrastinate.App) -> None:
    app.task(build, name=BUILD, retry=retry)


async def _served(
    dsn: str, announcement: Announcement, equip: Callable[[procrastinate.App], None], stopping: threading.Event
) -> None:
    """One connection's time."""
    try:
        async with app_at(dsn).open_async() as app:
            equip(app)
            await _work(app, announcement, stopping)
    except Exception as error:
        log.warning("The queue does not answer: %s", type(error).__name__)
        log.debug("the queue", exc_info=error)
        await _until(stopping, AGAIN)


async def _work(app: procrastinate.App, announcement: Announcement, stopping: threading.Event) -> None:
    """Work until `stopping` is set, or until the engine gives up."""
    announcing = asyncio.ensure_future(_announce(app, announcement))
    watching = asyncio.ensure_future(_until(stopping, None))
    running = asyncio.ensure_future(
        app.run_worker_async(
            queues=list(announcement.queues),
            name=announcement.name,
            concurrency=announcement.builds,
            install_signal_handlers=False,
            fetch_job_polling_interval=2.0,
            update_heartbeat_interval=HEARTBEAT,
            stalled_worker_timeout=STALLED,
            delete_jobs="always",
        )
    )
    try:
        await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        announcing.cancel()
        watching.cancel()
        if not running.done():
            running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _announce(app: procrastinate.App, announcement: Announcement) -> None:
    """Tell the primary of this worker, now and then."""
    task = app.configure_task(
        ANNOUNCE, queue=ANNOUNCEMENTS, queueing_lock=f"announce-{announcement.name}", allow_unknown=True
    )
    while True:
        with contextlib.suppress(exceptions.ConnectorException):  # one that waits still is as good
            await task.defer_async(worker=announcement.document())
        await asyncio.sleep(ANNOUNCING)


async def _until(event: threading.Event, seconds: float | None) -> None:
    """Wait for `event`, for `seconds` at most."""
    until = None if seconds is None else time.monotonic() + seconds
    while not event.is_set() and (until is None or time.monotonic() < until):
        await asyncio.sleep(0.1)
