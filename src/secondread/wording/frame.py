"""Tables for pandas, which is imported when somebody asks for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secondread.errors import UserError
from secondread.wording.extras import install_command

if TYPE_CHECKING:
    import pandas


def data_frame(columns: Mapping[str, Sequence[Any]]) -> pandas.DataFrame:
    """The columns as a pandas DataFrame. Raises UserError where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise UserError(f"a table for pandas needs pandas: {install_command('pandas')}") from None
    return pandas.DataFrame(dict(columns))
