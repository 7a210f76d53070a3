"""What a fold was trained on: it decides the last digits of its figures, beside the versions."""

from typing import Annotated

from pydantic import Field

from rust_tuner.records.model import Record


class TrainedOn(Record):
    """The process and machine that trained a fold.

    Figures are equal bitwise only where all of this is.

    Attributes:
        threads: of an operation; None if the backend does not say.
        onednn: whether TensorFlow used oneDNN; None for another backend.
        processor: its model; None if the system does not report it.
        device: the name of the GPU; None where there was none.
        machine: a label that the folds of one machine share, which is not its name.
    """

    threads: Annotated[int, Field(ge=1)] | None = None
    onednn: bool | None = None
    processor: str | None = None
    device: str | None = None
    machine: str | None = None

    @property
    def text(self) -> str:
        """All but the machine, for people."""
        parts = []
        if self.threads is not None:
            parts.append("1 thread" if self.threads == 1 else f"{self.threads} threads")
        if self.onednn is not None:
            parts.append("oneDNN" if self.onednn else "no oneDNN")
        parts += [part for part in (self.device, self.processor) if part is not None]
        return ", ".join(parts) or "unknown"
