"""At most one thread of a process searches at a time.

Keras draws initial weights and dropout masks from random states of the process. Two searches that
set them in turn would have scores that follow from no seed.
"""

import contextlib
import threading
from collections.abc import Iterator

from rust_tuner.errors import SearchError

_mutex = threading.Lock()
# The thread that searches, and how many searches it is in: a model may be built by a search.
_thread: int | None = None
_depth = 0


@contextlib.contextmanager
def alone_in_process() -> Iterator[None]:
    """Search in this thread.

    Raises:
        SearchError: while another thread of the process does.
    """
    global _thread, _depth
    own = threading.get_ident()
    with _mutex:
        if _depth and _thread != own:
            raise SearchError(
                "another thread of this process is searching, and Keras's random numbers belong to "
                "the process: the scores of both searches would follow from no seed. Run one after "
                "the other, or each in a process of its own"
            )
        _thread, _depth = own, _depth + 1
    try:
        yield
    finally:
        with _mutex:
            _depth -= 1
