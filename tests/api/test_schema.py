"""The schema as a document: complete, described, and the one that is committed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    is_specified_scalar_type,
    lexicographic_sort_schema,
    print_schema,
)

from amancay_server.app import make_schema

COMMITTED = Path(__file__).parents[2] / "schema.graphql"


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(make_schema().as_str(), assume_valid_sdl=True)


def described(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Everything that can have a description, with its own."""
    for name, kind in schema.type_map.items():
        if name.startswith("__") or is_specified_scalar_type(kind):
            continue
        yield name, kind.description
        match kind:
            case GraphQLObjectType() | GraphQLInterfaceType():
                for field, definition in kind.fields.items():
                    yield f"{name}.{field}", definition.description
            case GraphQLInputObjectType():
                for field, entry in kind.fields.items():
                    yield f"{name}.{field}", entry.description
            case GraphQLEnumType():
                for value, meaning in kind.values.items():
                    yield f"{name}.{value}", meaning.description


def arguments(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Every argument with its description."""
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType) and not name.startswith("__"):
            for field, definition in kind.fields.items():
                for argument, entry in definition.args.items():
                    yield f"{name}.{field}({argument})", entry.description


def test_the_committed_schema_is_the_codes() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == make_schema().as_str() + "\n"


def test_types_fields_and_values_are_described(schema: GraphQLSchema) -> None:
    assert [name for name, text in described(schema) if not text] == []


def test_arguments_are_described(schema: GraphQLSchema) -> None:
    assert [name for name, text in arguments(schema) if not text] == []


def test_descriptions_are_sentences(schema: GraphQLSchema) -> None:
    texts = [(name, text) for name, text in (*described(schema), *arguments(schema)) if text]
    assert [name for name, text in texts if not text.endswith(".") or text != text.strip()] == []
    assert print_schema(lexicographic_sort_schema(schema))


def test_refusals_are_problems(schema: GraphQLSchema) -> None:
    """Goal: every refusal can be read without knowing it. Method: what a union has besides its answer is a Problem."""
    problem = schema.type_map["Problem"]
    for union, answer in (("ExecuteResult", "Execution"), ("EstimateResult", "Estimate")):
        for member in schema.type_map[union].types:  # type: ignore[attr-defined]  # both are unions
            assert member.name == answer or problem in member.interfaces
