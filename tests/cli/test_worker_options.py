"""`--workers` and `--slurm` are refused before any work, as other options are."""

from pathlib import Path

import pytest
from command import run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ([f"--workers={value}"], f"workers='{value}'; expected a number of processes")
            for value in ("0", "-1", "many", "local:", "1.5")
        ),
        (["--workers", "mars:2"], "--workers: workers='mars:2'; expected a number of processes"),
        (["--workers", "ray?gpus=x"], "--workers: workers='ray' with {'gpus': 'x'}"),
        (["--workers", "ray:2?cpus=0"], "--workers: cpus=0; a trial takes a whole number"),
        (["--workers", "slurm:2", "--slurm", "tme=3"], "--slurm: tme: not an option of SLURM"),
        (["--workers", "2", "--slurm", "time=3"], "--slurm: --slurm without --workers slurm:N"),
        (["--slurm", "time=3"], "--slurm: --slurm without --workers slurm:N"),
    ],
)
@pytest.mark.parametrize("command", ["regime1", "regime2", "study"])
def test_a_wrong_value_is_a_wrong_option(
    command: str, options: list[str], message: str, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("image\n")
    result = run(command, tmp_path / "new", "--manifest", manifest, *options, code=2)
    assert message in " ".join(result.output.split())
