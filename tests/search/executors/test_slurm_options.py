"""What a user may ask SLURM for, and what is refused before any work."""

import pytest

from rust_tuner.errors import SearchError
from rust_tuner.search.executors.slurm_options import OPTIONS, SlurmOptions, options_of_texts
from rust_tuner.search.executors.workers import Workers, asked_workers


def test_options_are_those_of_sbatch_by_name() -> None:
    texts = ["partition=gpu", "cpus-per-task=4", "mem=8G", "gpus=a100:1", "constraint=a100|h100"]
    texts += ["setup=module load cuda", "setup=export A='b=c'", "trials_per_job=3"]
    options = SlurmOptions.of(options_of_texts(texts))
    assert options.passed == {
        "constraint": "a100|h100",
        "cpus_per_task": "4",
        "gpus": "a100:1",
        "mem": "8G",
        "partition": "gpu",
    }
    assert options.setup == ("module load cuda", "export A='b=c'")
    assert (options.minutes, options.trials_per_job) == (None, 3)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("90", 90),
        ("90:00", 90),
        ("90:01", 91),
        ("4:00:00", 240),
        ("1-12", 2160),
        ("1-12:30", 2190),
        ("1-12:30:01", 2191),
        ("0:0:1", 1),
    ],
)
def test_times_have_slurms_forms(text: str, minutes: int) -> None:
    assert SlurmOptions.of({"time": text}).minutes == minutes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("partition", "expected key=value"),
        ("=gpu", "expected key=value"),
        ("partitions=gpu", "partitions: not an option .*partition"),
        ("partition=", "a name without spaces"),
        ("partition=a b", "a name without spaces"),
        ("time=tomorrow", r"minutes, or a time such as 4:00:00"),
        ("time=0", "at least a minute"),
        ("mem=lots", "a size such as 8G"),
        ("cpus_per_task=0", "an integer from 1"),
        ("gpus=all", "a number such as 1"),
        ("constraint=a\n#SBATCH --uid=0", "one line of text"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_expected(text: str, expected: str) -> None:
    with pytest.raises(SearchError, match=expected):
        options_of_texts([text])


def test_an_option_is_given_once() -> None:
    with pytest.raises(SearchError, match="mem is given twice"):
        options_of_texts(["mem=8G", "mem=9G"])
    with pytest.raises(SearchError, match="give each of them once"):
        SlurmOptions.of({"cpus-per-task": 1, "cpus_per_task": 2})


def test_every_option_is_in_the_message_about_an_unknown_one() -> None:
    with pytest.raises(SearchError) as caught:
        Workers("slurm", 8, options={"nodes": "2"})
    assert all(name in str(caught.value) for name in OPTIONS)


def test_the_command_line_joins_workers_and_slurm() -> None:
    asked = asked_workers("slurm:8?partition=gpu", ["mem=8G"])
    assert asked == Workers("slurm", 8, None, {"partition": "gpu", "mem": "8G"})
    assert asked_workers("2", []) == Workers("local", 2)
    for workers in (None, "2"):
        with pytest.raises(SearchError, match="--slurm without --workers slurm:N"):
            asked_workers(workers, ["mem=8G"])
