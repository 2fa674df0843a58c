"""Where jobs run: processes of this computer, or the workers of any Dask scheduler."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from CHMFLPredictorLib.errors import BadInput, ChmflError, MissingDependency

DEATHS_ALLOWED = 3  # of a job's workers
LOOK_EVERY_S, WITHOUT_WORKERS_S = 5.0, 60.0
# a busy computer needs its time to start a process: the cluster must not end a nanny that is about to replace a worker
GONE_AFTER_S = 120.0
_CONNECT_S = 20
_LOG = logging.getLogger(__name__)


class Workers:
    """The connection to the workers, looked after while jobs run.

    :param mend: starts workers that are gone for good; None where that is another's business.
    """

    def __init__(self, client, mend: Callable[[], None] | None = None):
        self.client, self._mend = client, mend
        self._looked = self._seen = time.monotonic()

    def look_after(self) -> None:
        """Every few seconds: replace what is gone, and say when no worker is left.

        :raises ChmflError: scheduler_lost.
        """
        if self.client.status != "running":
            raise connection_lost()
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        if self._mend is not None:
            self._mend()
        if self.client.scheduler_info(n_workers=1)["workers"]:
            self._seen = now
        elif now - self._seen > WITHOUT_WORKERS_S:
            self._seen = now
            _LOG.warning("No worker is connected to the scheduler: the jobs wait for one.")


@contextmanager
def local_workers(workers: int, threads: int) -> Iterator[Workers]:
    """Processes on this computer, each with one job at a time and so many threads for it."""
    from distributed import Client, LocalCluster, WorkerPlugin

    class Deaf(WorkerPlugin):
        """Ctrl-C reaches every process of a terminal; only this program decides what it means."""

        name = "chmfl-deaf"

        def setup(self, worker) -> None:
            import signal

            signal.signal(signal.SIGINT, signal.SIG_IGN)

    environment = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment["OMP_WAIT_POLICY"] = "passive"
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any free port, for the state of the cluster alone
            memory_limit=0,  # the operating system judges: half of the memory may be one job's due
            silence_logs=logging.CRITICAL,
            env=environment,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(Deaf())
        # a nanny replaces a dead worker; if it gives up, the cluster notices only when it is asked for its size
        yield Workers(client, lambda: cluster.scale(workers))


@contextmanager
def remote_workers(address: str) -> Iterator[Workers]:
    """The workers of a scheduler, as they come and go.

    :raises BadInput: scheduler_unreachable.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        text = f"No Dask scheduler answers at {address}: {error}."
        raise BadInput("scheduler_unreachable", text, "Start one, or correct --scheduler.") from error
    with client:
        yield Workers(client)


def warn_of_threads(client, on_event: Callable[[dict], None]) -> None:
    """Say which workers have threads that no job will use."""
    many = [one["name"] for one in client.scheduler_info(n_workers=-1)["workers"].values() if one["nthreads"] > 1]
    if many:
        text = f"Workers with several threads run one job at a time: {', '.join(map(str, many))}. Use --nthreads 1."
        on_event({"event": "warning", "code": "worker_threads", "text": text})


@contextmanager
def dask_settings() -> Iterator:
    """Dask's settings for jobs that are few, long and start processes of their own."""
    try:
        import dask
        import distributed  # noqa: F401  the configuration's defaults come with it
    except ImportError as error:
        text = f"Running jobs needs the Python package '{error.name}'."
        raise MissingDependency("dask_missing", text, "Install it: pip install dask distributed.") from error
    settings = {
        "distributed.scheduler.allowed-failures": DEATHS_ALLOWED,
        "distributed.worker.daemon": False,  # a method may start processes: data loaders, forests
        "distributed.deploy.lost-worker-timeout": f"{GONE_AFTER_S}s",
        "distributed.worker.use-file-locking": False,
        "distributed.scheduler.dashboard.enabled": False,
        "distributed.admin.tick.limit": "1h",  # training keeps the interpreter busy; that is no news
    }
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what matters of its news, this file says in the run's words
    try:
        with dask.config.set(settings):
            yield
    finally:
        logger.setLevel(level)


def connection_lost() -> ChmflError:
    """The error for a scheduler that went away."""
    text = "The connection to the Dask scheduler was lost."
    return ChmflError("scheduler_lost", text, "Finished jobs stay: start the scheduler and go on with --resume.")


def memory_gb() -> float:
    """Free memory of this computer, 1e9 bytes."""
    try:
        import psutil
    except ImportError:
        return 8.0
    return psutil.virtual_memory().available / 1e9
