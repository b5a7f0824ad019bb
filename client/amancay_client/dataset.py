"""A dataset as it is known without paying."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from amancay_client.display import Grid, Shown
from amancay_client.metadata import Column, Metadata, PrivacyUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecord:
    """The server's public facts about a dataset."""

    name: str
    description: str | None
    privacy_unit: PrivacyUnit
    rows: int | None
    metadata: Metadata
    libraries: tuple[str, ...]

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Self:
        """From the server's `Dataset`."""
        return cls(
            name=answer["name"],
            description=answer["description"],
            privacy_unit=PrivacyUnit.parse(answer["privacyUnit"]),
            rows=None if answer["rows"] is None else int(answer["rows"]),
            metadata=Metadata(map(Column.parse, answer["columns"])),
            libraries=tuple(answer["libraries"]),
        )


class DatasetFacts(Shown):
    """What can be read off a dataset without asking the server again."""

    _record: DatasetRecord

    @property
    def name(self) -> str:
        """The name it is asked for by."""
        return self._record.name

    @property
    def description(self) -> str | None:
        """The owner's words."""
        return self._record.description

    @property
    def metadata(self) -> Metadata:
        """The columns, with types, clamping bounds and categories."""
        return self._record.metadata

    @property
    def privacy_unit(self) -> PrivacyUnit:
        """Whose presence is hidden."""
        return self._record.privacy_unit

    @property
    def rows(self) -> int | None:
        """The number of rows that the owner declared, if any; it is never counted."""
        return self._record.rows

    @property
    def libraries(self) -> tuple[str, ...]:
        """The differential privacy libraries that may query it."""
        return self._record.libraries

    def _grid(self) -> Grid:
        columns = self.metadata._grid()
        rows = "rows not declared" if self.rows is None else f"{self.rows} rows"
        title = f"{self.name}: {self.description or 'no description'}\n{rows}; privacy unit: {self.privacy_unit}"
        return Grid(title=title, headers=columns.headers, rows=columns.rows)


D = TypeVar("D", bound=DatasetFacts)


class Datasets(Shown, list[D]):
    """Datasets, as a list that shows itself as a table."""

    __slots__ = ()

    def _grid(self) -> Grid:
        headers = ("name", "rows", "columns", "privacy unit", "description")
        return Grid(title=f"Datasets: {len(self)}", headers=headers, rows=tuple(map(_summary, self)))


def _summary(dataset: DatasetFacts) -> tuple[str, ...]:
    rows = "-" if dataset.rows is None else str(dataset.rows)
    columns = str(len(dataset.metadata))
    return (dataset.name, rows, columns, str(dataset.privacy_unit), dataset.description or "")
