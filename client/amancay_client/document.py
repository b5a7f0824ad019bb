"""This client's GraphQL documents, as they stand in `documents/`: one operation per file, shared fragments."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from graphql import DocumentNode, FragmentDefinitionNode, FragmentSpreadNode, Node, Visitor, parse, visit

DOCUMENTS = files("amancay_client") / "documents"
FRAGMENTS = "fragments"


def names() -> tuple[str, ...]:
    """The name of every operation's file, without its ending."""
    stems = (entry.name.removesuffix(".graphql") for entry in DOCUMENTS.iterdir())
    return tuple(sorted(stem for stem in stems if stem != FRAGMENTS))


@cache
def document(name: str) -> DocumentNode:
    """The operation in `documents/<name>.graphql` with the fragments it needs, and no other."""
    operation = parse(_text(name), no_location=True)
    needed = dict.fromkeys(_spreads(operation))
    return DocumentNode(definitions=(*operation.definitions, *(_fragments()[each] for each in needed)))


@cache
def _fragments() -> dict[str, FragmentDefinitionNode]:
    shared = parse(_text(FRAGMENTS), no_location=True)
    return {node.name.value: node for node in shared.definitions if isinstance(node, FragmentDefinitionNode)}


def _spreads(node: Node) -> Iterator[str]:
    """The fragments that `node` names, and those that these name in turn."""
    found: list[str] = []

    class Spreads(Visitor):
        def enter_fragment_spread(self, spread: FragmentSpreadNode, *_: object) -> None:
            found.append(spread.name.value)

    visit(node, Spreads())
    for name in found:
        yield name
        yield from _spreads(_fragments()[name])


def _text(name: str) -> str:
    return (DOCUMENTS / f"{name}.graphql").read_text(encoding="utf-8")
