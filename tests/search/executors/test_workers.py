"""What a user may write for `workers=`."""

import pytest

from rust_tuner.errors import SearchError
from rust_tuner.search.executors.workers import Workers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Workers()),
        (3, Workers("local", 3)),
        ("local:3", Workers("local", 3)),
        ("ray", Workers("ray", None)),
        ("ray:8", Workers("ray", 8)),
        ("ray://head:10001", Workers("ray", None, "ray://head:10001")),
        ("ray?gpus=1", Workers("ray", None, None, {"gpus": "1"})),
        ("ray:8?cpus=2&gpus=0.5", Workers("ray", 8, None, {"cpus": "2", "gpus": "0.5"})),
        (
            "ray://[2001:db8::1]:10001?cpus=4",
            Workers("ray", None, "ray://[2001:db8::1]:10001", {"cpus": "4"}),
        ),
    ],
)
def test_a_text_names_engine_count_address_and_options(
    text: str | int | None, expected: Workers
) -> None:
    assert Workers.of(text) == expected
    assert Workers.of(expected) is expected
    assert Workers.of(text).is_this_process == (text is None)


@pytest.mark.parametrize(
    "text",
    [
        "ray:",
        "ray:0",
        "ray:-1",
        "ray:two",
        "ray://",
        "ray:/head:10001",
        "ray?",
        "ray?cpus",
        "ray:8 ",
        "Ray",
        "local",
        "local:2?cpus=1",
        "local://head",
        "rays:8",
        "ray\n",
        b"ray",
    ],
)
def test_what_is_not_understood_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(SearchError, match=r"expected a number of processes .* 'ray:8\?cpus=2"):
        Workers.of(text)


@pytest.mark.parametrize(
    ("engine", "count"),
    [("dask", 2), ("ray", 0), ("local", True), ("local", None), ("slurm", None)],
)
def test_another_engine_or_count_cannot_be_made(engine: str, count: int | None) -> None:
    with pytest.raises(
        SearchError, match="expected the engine local or ray or slurm, and a count from 1"
    ):
        Workers(engine, count)
