"""The three sections of the page on what was predicted: RUST and union, cortices, the appendix."""

from dataclasses import dataclass, field

from rust_tuner.report.page import Section


@dataclass(frozen=True)
class Chapters:
    """Where the figures of predictions go.

    Attributes:
        rust: RUST totals of visits, and union.
        cortices: scores of cortices, where they are visible.
        appendix: the 18 labels of the published study, calibration, sites.
    """

    rust: Section = field(default_factory=lambda: Section("rust", "RUST and union"))
    cortices: Section = field(default_factory=lambda: Section("cortices", "Per cortex"))
    appendix: Section = field(
        default_factory=lambda: Section("appendix", "Appendix: 18 labels, calibration, sites")
    )
