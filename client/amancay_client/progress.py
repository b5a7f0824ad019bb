"""The progress bar, in a console and in a notebook."""

import warnings
from types import TracebackType
from typing import NoReturn, Self

from tqdm import TqdmWarning

from amancay_client.display import plain
from amancay_client.execution import ExecutionRecord

with warnings.catch_warnings():
    # Without ipywidgets a notebook gets the text bar, which is fine and no news to anybody.
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"


class Bar:
    """A bar that follows one execution and disappears in the end; if not `visible`, nothing is drawn."""

    def __init__(self, *, visible: bool) -> None:
        self._visible = visible
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Self:
        if self._visible:
            self._bar = tqdm(total=1.0, bar_format=FORMAT, leave=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, record: ExecutionRecord) -> None:
        """Move to where `record` says it is."""
        if self._bar is None:
            return
        self._bar.n = min(max(record.progress.fraction, 0.0), 1.0)
        self._bar.set_description_str(plain(record.progress.stage or record.status))
