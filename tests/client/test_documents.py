"""Every document that the client sends, against the schema that the server prints."""

from pathlib import Path

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, print_ast, validate

from amancay_client.document import document, names

SCHEMA = Path(__file__).parents[2] / "schema.graphql"


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(SCHEMA.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", names())
def test_the_schema_accepts_the_document(schema: GraphQLSchema, name: str) -> None:
    """Goal: no question of the client is refused for its form. Method: graphql-core's validation."""
    assert validate(schema, document(name)) == []


@pytest.mark.parametrize("name", names())
def test_a_document_is_one_operation_named_like_its_file(name: str) -> None:
    operations = [node for node in document(name).definitions if isinstance(node, OperationDefinitionNode)]
    named = [node.name.value for node in operations if node.name]
    assert named == ["".join(word.capitalize() for word in name.split("_"))]


def test_only_needed_fragments_come_along() -> None:
    text = print_ast(document("budget"))
    assert "fragment Balance" in text
    assert "fragment Loss" in text
    assert text.count("fragment ") == 2
