"""An optional package that is missing is an error that says how to install it."""

import pytest

from rust_tuner.errors import ExtraError
from rust_tuner.extras import require_package


def test_a_missing_package_is_named_with_its_extra() -> None:
    require_package("json", what="x needs", extra="x")
    message = (
        r"^the page needs the package nowhere_to_be_had, .* install nowhere_to_be_had\), .*"
        r"rust-tuner\[pages\]$"
    )
    with pytest.raises(ExtraError, match=message):
        require_package("nowhere_to_be_had", what="the page needs", extra="pages")
