"""CSV files: the numbers that were written are those that are read."""

from pathlib import Path

import numpy as np
import pandas as pd

from rust_tuner.data.exact_csv import read_exactly


def test_numbers_that_are_written_are_read_to_the_last_bit(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).random(2000) * 10.0 ** np.arange(-10, 10).repeat(100)
    pd.DataFrame({"value": numbers}).to_csv(tmp_path / "numbers.csv", index=False)
    np.testing.assert_array_equal(read_exactly(tmp_path / "numbers.csv")["value"], numbers)


def test_columns_may_be_named_as_text(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("patient_id,value\n007,0.1\n")
    table = read_exactly(tmp_path / "ids.csv", dtype={"patient_id": "str"})
    assert table["patient_id"].tolist() == ["007"]
