"""What each trial takes of a Ray cluster, as a user asks for it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rust_tuner.errors import SearchError


@dataclass(frozen=True)
class Resources:
    """What one trial takes of a node.

    Attributes:
        cpus: cores, and so threads; one by default, since trials that run side by side use cores
            better than the threads of one trial do, and scores then do not depend on the node.
        gpus: whole ones, or a share below 1; None for one where the cluster has GPUs, else none.
    """

    cpus: int = 1
    gpus: float | None = None

    @classmethod
    def of(cls, options: Mapping[str, str]) -> "Resources":
        """Read the options of `workers=`.

        Raises:
            SearchError: for another option or value.
        """
        unknown = sorted(set(options) - {"cpus", "gpus"})
        if unknown:
            raise SearchError(
                f"workers='ray' with the option {', '.join(unknown)}; expected cpus and gpus, as "
                "in 'ray:8?cpus=2&gpus=1'"
            )
        try:
            cpus = int(options.get("cpus", 1))
            gpus = float(options["gpus"]) if "gpus" in options else None
        except ValueError as error:
            raise SearchError(
                f"workers='ray' with {dict(options)}; expected numbers, cpus a whole one"
            ) from error
        if cpus < 1:
            raise SearchError(f"cpus={cpus}; a trial takes a whole number of cores from 1")
        if gpus is not None and not (0 <= gpus < 1 or (1 <= gpus < math.inf and gpus == int(gpus))):
            raise SearchError(f"gpus={gpus:g}; a trial takes whole GPUs, or a share below 1")
        return cls(cpus, gpus)

    def fit_into(self, node: Mapping[str, float]) -> int:
        """How many trials a node can run at once.

        Args:
            node: its resources, as Ray names them.
        """
        slots = node.get("CPU", 0.0) / self.cpus
        if self.gpus:
            # Of a GPU that is shared, only whole shares can be used.
            shared = math.floor(1 / self.gpus) if self.gpus < 1 else 1 / self.gpus
            slots = min(slots, node.get("GPU", 0.0) * shared)
        return math.floor(slots)
