"""How an engine reports that one call was lost with its worker while its other calls continue.

A pool whose processes all end with one of them raises `BrokenExecutor` itself.
"""

import concurrent.futures


class WorkerLost(concurrent.futures.BrokenExecutor):
    """The worker of one call died, or its machine did; only that call has to be sent again.

    Attributes:
        reason: what the engine says of it, with the machine where that is known.
    """

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason
