"""The owner's declaration: what may stand there, and that what is missing stays unknown."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amancay_engine.errors import InvalidMetadata
from amancay_engine.metadata import (
    MAX_CATEGORIES,
    MAX_COLUMNS,
    MAX_CONTRIBUTIONS,
    MAX_NAME,
    MAX_ROWS,
    PrivacyUnitKind,
    bounds,
    dump_metadata,
    parse_metadata,
    public_keys,
)
from tests.engine.scene import COLUMNS, PERSON, ROW

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
whole = st.integers(-(2**53), 2**53)
real = st.floats(allow_nan=False, allow_infinity=False)


def ordered(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Both bounds or none."""
    return st.one_of(st.just({}), st.tuples(values, values).map(lambda pair: {"lower": min(pair), "upper": max(pair)}))


def listed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Categories or none, public or not."""
    some = st.lists(values, min_size=1, max_size=5, unique=True)
    return st.one_of(
        st.just({}),
        st.builds(lambda one, public: {"categories": one, "public_categories": public}, some, st.booleans()),
    )


def typed(name: str, *parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """A column's document."""
    nullable = st.sampled_from([{}, {"nullable": True}])
    return st.tuples(nullable, *parts).map(lambda found: {"type": name} | {k: v for d in found for k, v in d.items()})


columns = st.one_of(
    typed("integer", ordered(whole), listed(whole)),
    typed("float", ordered(real)),
    typed("string", listed(st.text(max_size=10))),
    typed("boolean"),
    typed("datetime", ordered(st.datetimes()).map(lambda pair: {k: v.isoformat() for k, v in pair.items()})),
)


@given(st.dictionaries(names, columns, min_size=1, max_size=6), st.none() | st.integers(0, MAX_ROWS), st.integers(1, 9))
def test_a_document_survives_the_round_trip(
    declared: dict[str, dict[str, Any]], rows: int | None, contributions: int
) -> None:
    """Goal: nothing is lost on the way through JSON. Method: any document, parsed, dumped, parsed."""
    unique = {name.lower(): column for name, column in declared.items()}
    unit = {"kind": "identifier", "column": next(iter(unique)), "max_contributions": contributions}
    parsed = parse_metadata({"privacy_unit": unit, "rows": rows, "columns": unique})
    assert parse_metadata(json.loads(json.dumps(dump_metadata(parsed)))) == parsed


def test_defaults_are_the_careful_ones() -> None:
    """Goal: fail closed. Method: the shortest document declares no bounds, public keys or rows."""
    parsed = parse_metadata({"columns": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "float"}}})
    assert parsed.rows is None
    assert parsed.privacy_unit.kind is PrivacyUnitKind.ROW
    assert parsed.privacy_unit.max_contributions == 1
    assert [bounds(column) for column in parsed.columns.values()] == [None, None, None]
    assert [public_keys(column) for column in parsed.columns.values()] == [None, None, None]
    assert not any(column.nullable for column in parsed.columns.values())


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        ("sex", ("f", "m", "x")),
        ("level", (1, 2, None)),
        ("ward", None),
        ("town", None),
        ("smokes", (False, True)),
        ("age", None),
        ("seen", None),
    ],
)
def test_keys_are_public_only_where_it_is_said(column: str, keys: tuple[object, ...] | None) -> None:
    """Goal: a list of categories alone does not make them public."""
    assert public_keys(ROW.columns[column]) == keys


def test_a_column_with_bounds_of_time_has_no_numeric_ones() -> None:
    """Goal: points in time are never summed."""
    column = {"type": "datetime", "lower": "2020-01-01T00:00:00", "upper": "2021-01-01T00:00:00"}
    assert bounds(parse_metadata({"columns": {"a": column}}).columns["a"]) is None
    assert PERSON.privacy_unit.column == "person"


def one(**column: Any) -> dict[str, Any]:
    """A document with one column."""
    return {"columns": {"a": column}}


def unit(**fields: Any) -> dict[str, Any]:
    """A document with a privacy unit."""
    return {"privacy_unit": fields, "columns": {"a": {"type": "integer"}}}


REFUSED: list[tuple[Any, tuple[str, ...], str]] = [
    (None, (), "valid dictionary"),
    ("columns: {}", (), "valid dictionary"),
    ([], (), "valid dictionary"),
    ({}, ("columns",), "required"),
    ({"columns": {}}, ("columns",), "at least 1"),
    ({"columns": {"a": {"type": "integer"}}, "colour": 1}, ("colour",), "not permitted"),
    ({"columns": {"a": {"type": "integer"}}, "rows": -1}, ("rows",), "greater than or equal to 0"),
    ({"columns": {"a": {"type": "integer"}}, "rows": MAX_ROWS + 1}, ("rows",), "less than or equal"),
    ({"columns": {"a": {"type": "integer"}}, "rows": 1.5}, ("rows",), "integer"),
    (one(), ("columns", "a"), "type"),
    (one(type="blob"), ("columns", "a"), "does not match"),
    (one(type="integer", lower=1), ("columns", "a", "integer"), "both lower and upper"),
    (one(type="float", upper=1), ("columns", "a", "float"), "both lower and upper"),
    (one(type="integer", lower=2, upper=1), ("columns", "a", "integer"), "must not exceed"),
    (one(type="float", lower=float("nan"), upper=1), ("columns", "a", "float", "lower"), "finite"),
    (one(type="float", lower=0, upper=float("inf")), ("columns", "a", "float", "upper"), "finite"),
    (one(type="integer", lower=0, upper=2**53 + 1), ("columns", "a", "integer", "upper"), "less than or equal"),
    (one(type="integer", lower=-(2**53) - 1, upper=0), ("columns", "a", "integer", "lower"), "greater than or equal"),
    (one(type="integer", lower=0.5, upper=1), ("columns", "a", "integer", "lower"), "integer"),
    (one(type="integer", bits=16), ("columns", "a", "integer", "bits"), "32 or 64"),
    (one(type="string", lower=0, upper=1), ("columns", "a", "string", "lower"), "not permitted"),
    (one(type="boolean", categories=[True]), ("columns", "a", "boolean", "categories"), "not permitted"),
    (one(type="float", categories=[1.0]), ("columns", "a", "float", "categories"), "not permitted"),
    (one(type="string", categories=[]), ("columns", "a", "string"), "at least one"),
    (one(type="string", categories=["x", "x"]), ("columns", "a", "string"), "distinct"),
    (one(type="string", categories=[1]), ("columns", "a", "string", "categories", "0"), "string"),
    (one(type="integer", categories=[None]), ("columns", "a", "integer", "categories", "0"), "integer"),
    (one(type="string", public_categories=True), ("columns", "a", "string"), "needs a list"),
    (one(type="integer", public_categories=True), ("columns", "a", "integer"), "needs a list"),
    (
        one(type="string", categories=[str(number) for number in range(MAX_CATEGORIES + 1)]),
        ("columns", "a", "string", "categories"),
        "at most 10000",
    ),
    (one(type="string", description="x" * 1001), ("columns", "a", "string", "description"), "at most 1000"),
    (
        one(type="datetime", lower="2020-01-01T00:00:00Z", upper="2021-01-01T00:00:00Z"),
        ("columns", "a", "datetime"),
        "no time zone",
    ),
    (one(type="datetime", lower="soon", upper="later"), ("columns", "a", "datetime", "lower"), "datetime"),
    ({"columns": {"a b": {"type": "integer"}}}, (), "letters, digits"),
    ({"columns": {'a"b': {"type": "integer"}}}, (), "letters, digits"),
    ({"columns": {"é": {"type": "integer"}}}, (), "letters, digits"),
    ({"columns": {"1a": {"type": "integer"}}}, (), "letters, digits"),
    ({"columns": {"": {"type": "integer"}}}, (), "letters, digits"),
    ({"columns": {"a\n": {"type": "integer"}}}, (), "letters, digits"),
    ({"columns": {"a" * (MAX_NAME + 1): {"type": "integer"}}}, (), "at most 64"),
    ({"columns": {"a": {"type": "integer"}, "A": {"type": "integer"}}}, (), "upper and lower case"),
    (
        {"columns": {f"c{number}": {"type": "integer"} for number in range(MAX_COLUMNS + 1)}},
        ("columns",),
        "at most 500",
    ),
    (unit(kind="household"), ("privacy_unit", "kind"), "row"),
    (unit(kind="identifier"), ("privacy_unit",), "names its column"),
    (unit(kind="row", column="a"), ("privacy_unit",), "names none"),
    (unit(column="a"), ("privacy_unit",), "names none"),
    (unit(kind="identifier", column="b"), (), "not among the columns"),
    (unit(kind="identifier", column="A"), (), "not among the columns"),
    (unit(max_contributions=0), ("privacy_unit", "max_contributions"), "greater than or equal to 1"),
    (unit(max_contributions=MAX_CONTRIBUTIONS + 1), ("privacy_unit", "max_contributions"), "less than or equal"),
    (unit(colour="red"), ("privacy_unit", "colour"), "not permitted"),
]


@pytest.mark.parametrize(("document", "path", "words"), REFUSED)
def test_a_wrong_document_is_refused_with_its_path(document: Any, path: tuple[str, ...], words: str) -> None:
    """Goal: the owner learns what is wrong and where, in our words."""
    with pytest.raises(InvalidMetadata) as refusal:
        parse_metadata(document)
    assert refusal.value.path == path
    assert words in refusal.value.message
    assert "pydantic" not in refusal.value.message


@pytest.mark.parametrize(
    "document",
    [
        {"columns": {"a": {"type": "integer"}}, "rows": MAX_ROWS},
        {"columns": {"a": {"type": "integer"}}, "rows": 0},
        one(type="integer", lower=-(2**53), upper=2**53),
        one(type="integer", lower=3, upper=3),
        one(type="string", categories=[str(number) for number in range(MAX_CATEGORIES)]),
        one(type="string", description="x" * 1000),
        {"columns": {"a" * MAX_NAME: {"type": "integer"}}},
        {"columns": {f"c{number}": {"type": "integer"} for number in range(MAX_COLUMNS)}},
        unit(max_contributions=MAX_CONTRIBUTIONS),
        {"columns": COLUMNS},
    ],
)
def test_a_document_at_every_limit_is_taken(document: dict[str, Any]) -> None:
    """Goal: the limits themselves are allowed."""
    assert parse_metadata(document).columns


def test_metadata_cannot_be_changed() -> None:
    """Goal: what was priced is what is run."""
    with pytest.raises(ValueError, match="frozen"):
        setattr(ROW, "rows", 5)  # noqa: B010 - mypy knows that it cannot be set
