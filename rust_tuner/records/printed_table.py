"""A table whose print shows its first columns, where pandas would show the first and the last."""

import shutil
import textwrap

import pandas as pd

_FALLBACK = (80, 24)


class PrintedTable(pd.DataFrame):
    """A DataFrame that prints as many of its first columns as fit, and names the others below.

    Only printing differs. Whatever is made of it, such as a selection of rows, is a plain
    DataFrame; a display option that the user has set for columns is obeyed.

    Examples:
        >>> import pandas as pd
        >>> table = PrintedTable(pd.DataFrame([range(99)]).add_prefix("column_"))
        >>> "not shown" in str(table)
        True
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        """The first columns, as wide as the terminal; 80 characters if that is not known."""
        plain = pd.DataFrame(self)
        if plain.empty or pd.get_option("display.max_columns") != 0:
            return repr(plain)
        width = shutil.get_terminal_size(_FALLBACK).columns
        options = (
            *("display.max_columns", None, "display.expand_frame_repr", False),
            *("display.show_dimensions", False),
        )
        with pd.option_context(*options):
            for count in range(len(plain.columns), 0, -1):
                text = repr(plain.iloc[:, :count])
                if max(map(len, text.splitlines())) <= width:
                    break
        if count == len(plain.columns):
            return text
        left_out = ", ".join(map(str, plain.columns[count:]))
        note = f"[{len(plain)} rows x {len(plain.columns)} columns; not shown: {left_out}]"
        wrapped = textwrap.wrap(note, width, break_long_words=False, break_on_hyphens=False)
        return "\n".join([text, "", *wrapped])
