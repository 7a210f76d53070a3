"""Tasks of a Ray cluster, one for each trial; where a task runs, and on what, Ray decides.

Only modules without Keras are imported here, since workers import this one before TensorFlow's
threads are set.
"""

import concurrent.futures
import contextlib
import logging
import os
import re
import signal
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from rust_tuner.errors import SearchError
from rust_tuner.extras import require_package
from rust_tuner.search.executors.lost import WorkerLost
from rust_tuner.search.executors.ray_options import Resources
from rust_tuner.search.executors.shipping import as_call, bring, called
from rust_tuner.search.executors.workers import Workers

# Each thread waits for one task; Ray holds the tasks that have no worker yet.
_MOST_THREADS = 10_000
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# So long may tasks take to end before Ray does.
_SECONDS_TO_END = 10.0


class RayEngine:
    """Tasks of a Ray cluster; Ray itself starts once it is needed."""

    def __init__(self, asked: Workers) -> None:
        """Use the Ray that the user's script has initialised, else one that is asked for.

        Args:
            asked: with its address, where there is one; without one, Ray takes that of the
                variable RAY_ADDRESS, else a cluster that runs on this machine, else it starts here.

        Raises:
            ExtraError: where Ray is not installed.
            SearchError: for an option that is not known.
        """
        require_package("ray", what="workers='ray' needs", extra="ray")
        self._asked = asked
        self._resources = Resources.of(asked.options)
        self._cluster: _Cluster | None = None

    @property
    def num_workers(self) -> int:
        """How many trials run at once: as asked, or as many as the cluster has room for now."""
        return self._asked.count or max(1, self._started().room())

    def submit(self, function: Any, *arguments: Any) -> "concurrent.futures.Future[Any]":
        """Begin a call; a future whose worker or node has died raises `WorkerLost`."""
        return self._started().submit(as_call(function, arguments))

    def keep(self, digest: str, array: "npt.NDArray[Any]") -> None:
        """Put an array into Ray's object store; the workers of a node share one copy of it."""
        self._started().keep(digest, array)

    def restart(self) -> bool:
        """Return False: what is lost is sent again, and Ray itself cannot be replaced."""
        return False

    def close(self) -> None:
        """End the tasks, also in the middle of a trial, and Ray if it was started here."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def note(self) -> str:
        """Name the number of trials at once, what each takes, and the nodes."""
        return self._started().note(self.num_workers)

    def _started(self) -> "_Cluster":
        if self._cluster is None:
            self._cluster = _Cluster(self._asked, self._resources)
        return self._cluster


class _Cluster:
    """A connection to Ray."""

    def __init__(self, asked: Workers, resources: Resources) -> None:
        import ray

        self._ray: Any = ray
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(ray, asked.address)
        gpus = resources.gpus
        if gpus is None:
            gpus = float(any(node.get("GPU", 0) >= 1 for node in self._nodes()))
        self._resources = Resources(resources.cpus, gpus)
        self._task = ray.remote(
            num_cpus=self._resources.cpus,
            num_gpus=gpus,
            # Records resume what is lost.
            max_retries=0,
            max_calls=self._calls_of_a_process(),
            # So that a process has its threads before it imports anything.
            runtime_env={"env_vars": _environment(self._resources.cpus)},
            scheduling_strategy="SPREAD",
        )(_in_worker)
        self._kept: dict[str, Any] = {}
        self._running: set[Any] = set()
        self._futures: list[concurrent.futures.Future[Any]] = []
        self._lock = threading.Lock()
        self._is_closed = False
        self._threads = concurrent.futures.ThreadPoolExecutor(
            asked.count or _MOST_THREADS, thread_name_prefix="ray-trial"
        )

    def _nodes(self) -> list[dict[str, float]]:
        """The resources of the nodes that are alive."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _calls_of_a_process(self) -> int:
        """After how many trials a worker's process ends; 0 for never.

        TensorFlow keeps its first GPU, while Ray assigns GPUs to each task separately. So a
        process stays only where its node has no other GPU to assign.
        """
        gpus = self._resources.gpus or 0.0
        most = max((node.get("GPU", 0.0) for node in self._nodes()), default=0.0)
        return 0 if gpus == 0 or most <= max(1.0, gpus) else 1

    def room(self) -> int:
        """How many trials the nodes can run at once."""
        return sum(map(self._resources.fit_into, self._nodes()))

    def note(self, num_workers: int) -> str:
        """Where trials run, and how many at once, for the user."""
        cpus, gpus = self._resources.cpus, self._resources.gpus
        each = "1 CPU" if cpus == 1 else f"{cpus} CPUs"
        if gpus:
            each += " and 1 GPU" if gpus == 1 else f" and {gpus:g} GPUs"
        nodes = len(self._nodes())
        where = "1 node" if nodes == 1 else f"{nodes} nodes"
        text = f"trials run in Ray on {where}, {num_workers} at once, each with {each}"
        room = self.room()
        if room == 0:
            text += "; WARNING: no node has that much, so trials wait until one joins"
        elif room < num_workers:
            text += f"; the nodes have room for {room} now"
        return text

    def keep(self, digest: str, array: "npt.NDArray[Any]") -> None:
        """Put an array into the object store, once."""
        if digest in self._kept:
            return
        try:
            self._kept[digest] = self._ray.put(array)
        except (
            self._ray.exceptions.ObjectStoreFullError,
            self._ray.exceptions.OutOfDiskError,
        ) as error:
            raise SearchError(
                f"Ray's object store has no room for {array.nbytes / 1e9:.1f} GB ({error}); start "
                "Ray with a larger --object-store-memory"
            ) from error

    def submit(self, call: bytes) -> "concurrent.futures.Future[Any]":
        """Begin a call."""
        future = self._threads.submit(self._run, call)
        self._futures = [one for one in self._futures if not one.done()] + [future]
        return future

    def _run(self, call: bytes) -> Any:
        """Wait for a task; this thread has nothing else to do."""
        exceptions = self._ray.exceptions
        with self._lock:
            if self._is_closed:
                raise concurrent.futures.CancelledError
            task = self._task.remote(call, list(self._kept), *self._kept.values())
            self._running.add(task)
        try:
            return self._ray.get(task)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, exceptions.RayError):
                raise self._refusal(error.cause) from error
            raise error.cause from _RemoteError(_COLOURS.sub("", str(error)))
        except exceptions.RayError as error:
            raise self._refusal(error) from error
        finally:
            with self._lock:
                self._running.discard(task)

    def _refusal(self, error: Exception) -> Exception:
        """What an error of Ray itself means."""
        exceptions = self._ray.exceptions
        lost = (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.LocalRayletDiedError,
            exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
        )
        # Ray's messages are long; the beginning says what happened, and on which node.
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 180, placeholder=" ...")
        if isinstance(error, lost):
            return WorkerLost(reason)
        return SearchError(f"Ray could not run a trial ({reason})")

    def close(self) -> None:
        """End the tasks, and Ray if it is ours."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        self._threads.shutdown(wait=False, cancel_futures=True)
        for task in running:
            # A cluster that is gone has ended them already.
            with contextlib.suppress(self._ray.exceptions.RayError, ConnectionError):
                self._ray.cancel(task, force=True)
        self._kept.clear()
        # Tasks end a while after they are cancelled, and write until then; and a thread that still
        # asks Ray for a result may not lose it.
        begun = [future for future in self._futures if not future.cancelled()]
        concurrent.futures.wait(begun, timeout=_SECONDS_TO_END)
        if self._is_ours:
            self._ray.shutdown()


class _RemoteError(Exception):
    """The traceback of an error where it was raised, as the cause of the error here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


# What decides the numbers of a trial, and is set in this process alone.
_PASSED_ON = (
    "KERAS_BACKEND",
    "NVIDIA_TF32_OVERRIDE",
    "RUST_TUNER_ONEDNN_OPTS",
    "TF_CUDNN_DETERMINISTIC",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
)


def _environment(threads: int) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed | {
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": str(threads),
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        # A worker has no user to notify.
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    }


def _in_worker(call: bytes, digests: list[str], *arrays: "npt.NDArray[Any]") -> Any:
    """Run a call in a task; Ray has mapped the arrays into this process, read-only."""
    bring(dict(zip(digests, arrays, strict=True)))
    return called(call)


def _connect(ray: Any, address: str | None) -> None:
    """Start Ray, or connect to it.

    Authentication is as Ray and the environment have it: nothing here turns it off.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    with _own_handler_of_sigterm():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        # Ray raises `Exception` itself where it does not start in time.
        except Exception as error:
            where = f"the Ray cluster at {address}" if address else "Ray"
            raise SearchError(
                f"{where} cannot be reached ({type(error).__name__}: {error}); check that it runs "
                "(ray status), that its Ray and Python have the versions of this process, and that "
                "this process has its token"
            ) from error


@contextlib.contextmanager
def _own_handler_of_sigterm() -> Iterator[None]:
    """Keep the handler of SIGTERM, which `ray.init` replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
