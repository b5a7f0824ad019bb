"""SQL expressions from a closed language, compiled to DuckDB's SQL.

Every operator here is total: no value of any row can make it fail, since an error that depends on a row would
tell about that row without noise. So types are checked beforehand, a CAST that does not fit gives NULL,
arithmetic is done on doubles, and nothing can overflow, divide by zero or read anything but the columns of `df`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Protocol

from sqlglot import exp

from amancay_engine.errors import InvalidQuery

MAX_IN_LIST = 1_000
MAX_NESTING = 100
"""How deep operators may stand in each other, for instance in a chain of ANDs; DuckDB's own limit is 1000."""
MAX_COMPILED = 100_000
"""How long generated SQL may grow, in characters: a label that stands for a long expression can be repeated often."""
INT64 = 2**63 - 1
_PART_NAMES = {"query": "a subquery", "unnest": "UNNEST"}


class Kind(StrEnum):
    """The types that expressions are checked with."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "truth value"
    TIME = "point in time"
    NULL = "NULL"


@dataclass(frozen=True, slots=True)
class Term:
    """A compiled expression: DuckDB's SQL, always self-contained, and its type."""

    sql: str
    kind: Kind


class Scope(Protocol):
    """What the names in an expression stand for."""

    clause: str

    def resolve(self, node: exp.Expr) -> Term | None:
        """The term for a node that has a meaning of its own in this scope, or None."""


class Compiler:
    """Compiles one clause; refuses every node that is not in `_RULES`."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._depth = 0

    def refuse(self, message: str) -> InvalidQuery:
        """The refusal for this clause."""
        return InvalidQuery(message, "sql", self._scope.clause)

    def term(self, node: exp.Expr) -> Term:
        """Compiles any expression."""
        if self._depth == MAX_NESTING:
            raise self.refuse(f"expressions are nested deeper than {MAX_NESTING}")
        self._depth += 1
        try:
            term = self._compiled(node)
        finally:
            self._depth -= 1
        if len(term.sql) > MAX_COMPILED:
            raise self.refuse("the query means too much: it repeats long expressions too often")
        return term

    def _compiled(self, node: exp.Expr) -> Term:
        resolved = self._scope.resolve(node)
        if resolved is not None:
            return resolved
        rule, known = _RULES.get(type(node), (None, frozenset()))
        if rule is None:
            raise self.refuse(unsupported(node))
        self.only(node, known)
        return rule(self, node)

    def only(self, node: exp.Expr, known: frozenset[str]) -> None:
        """Refuses parts of a node that its rule does not know, such as the subquery of an IN or the side of a TRIM."""
        for name, value in node.args.items():
            if value and name not in known:
                word = _PART_NAMES.get(name, name.strip("_").upper())
                raise self.refuse(f"{shown(node)} has a part that is not supported: {word}")

    def typed(self, node: exp.Expr, kind: Kind) -> Term:
        """Compiles an expression that must be of one type (or NULL)."""
        term = self.term(node)
        if term.kind not in {kind, Kind.NULL}:
            raise self.refuse(f"expected a {kind} but {shown(node)} is a {term.kind}")
        return term

    def number(self, node: exp.Expr) -> str:
        """A number as a double, so that nothing overflows."""
        return f"CAST({self.typed(node, Kind.NUMBER).sql} AS DOUBLE)"

    def alike(self, *nodes: exp.Expr) -> tuple[list[str], Kind]:
        """Compiles expressions that must share a type; text literals beside points in time are read as such."""
        terms = [self.term(node) for node in nodes]
        kinds = {term.kind for term in terms} - {Kind.NULL}
        if kinds == {Kind.TIME, Kind.TEXT}:
            terms = [self._as_time(node, term) for node, term in zip(nodes, terms, strict=True)]
            kinds = {Kind.TIME}
        if len(kinds) > 1:
            both = " and a ".join(sorted(kinds))
            raise self.refuse(f"cannot mix a {both}: {', '.join(shown(node) for node in nodes[:2])}")
        return [term.sql for term in terms], kinds.pop() if kinds else Kind.NULL

    def _as_time(self, node: exp.Expr, term: Term) -> Term:
        if term.kind is not Kind.TEXT:
            return term
        if not (isinstance(node, exp.Literal) and node.is_string):
            raise self.refuse(f"expected a point in time but {shown(node)} is text")
        return self.moment(node.this)

    def moment(self, text: str) -> Term:
        """A literal point in time, checked here so that the database need not parse it."""
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
        except ValueError:
            raise self.refuse(
                f"{text[:40]!r} is not a date or time; write '2026-11-21' or '2026-11-21 08:30:00'"
            ) from None
        except OverflowError:
            raise self.refuse(f"{text[:40]!r} lies before the year 1 or after the year 9999 in UTC") from None
        return Term(time_literal(moment), Kind.TIME)


class RememberingCompiler(Compiler):
    """Compiles a tree and then each of its subtrees, at the cost of the tree alone."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._terms: dict[int, Term | None] = {}
        """By the identity of a node, None if it was refused; the tree must outlive this."""

    def term(self, node: exp.Expr) -> Term:
        """Compiles any expression."""
        if id(node) not in self._terms:
            self._terms[id(node)] = None
            self._terms[id(node)] = super().term(node)
        term = self._terms[id(node)]
        if term is None:
            raise self.refuse("this was refused before")
        return term


def unsupported(node: exp.Expr) -> str:
    """What to say of a node that is not in the language."""
    name = node.sql_name() if isinstance(node, exp.Func) and not isinstance(node, exp.Anonymous) else shown(node)
    return (
        f"{name} is not supported here; rows can be compared and combined with AND, OR, NOT, IN, BETWEEN, LIKE, "
        "IS NULL, CASE, CAST, COALESCE, NULLIF, EXTRACT, ABS, FLOOR, CEIL, ROUND, LOWER, UPPER, TRIM, LENGTH and "
        "arithmetic"
    )


def shown(node: exp.Expr) -> str:
    """A short piece of the query for a message."""
    try:
        text = node.sql(dialect="postgres")
    except (RecursionError, ValueError):
        text = type(node).__name__
    return text if len(text) <= 60 else text[:57] + "..."


def text_literal(text: str) -> str:
    """A DuckDB string literal."""
    if "\0" in text:
        raise InvalidQuery("text must not hold NUL characters", "sql")
    return "'" + text.replace("'", "''") + "'"


def time_literal(moment: datetime | date) -> str:
    """A DuckDB timestamp literal."""
    return f"TIMESTAMP '{moment.isoformat(sep=' ') if isinstance(moment, datetime) else moment.isoformat()}'"


def number_literal(value: float) -> str:
    """A DuckDB number: exact for 64-bit integers, else a double."""
    if isinstance(value, int) and abs(value) <= INT64:
        return f"CAST({value} AS BIGINT)"
    return f"CAST('{float(value)!r}' AS DOUBLE)"


def _literal(compiler: Compiler, node: exp.Literal) -> Term:
    if node.is_string:
        return Term(text_literal(node.this), Kind.TEXT)
    try:
        value: float = int(node.this) if node.this.isascii() and node.this.isdigit() else float(node.this)
        finite = math.isfinite(float(value))
    except (ValueError, OverflowError):
        finite = False
    if not finite:
        raise compiler.refuse("numbers must be finite")
    return Term(number_literal(value), Kind.NUMBER)


def _connective(word: str) -> "Rule":
    def rule(compiler: Compiler, node: exp.Binary) -> Term:
        left, right = compiler.typed(node.left, Kind.BOOLEAN), compiler.typed(node.right, Kind.BOOLEAN)
        return Term(f"({left.sql} {word} {right.sql})", Kind.BOOLEAN)

    return rule


def _comparison(operator: str) -> "Rule":
    def rule(compiler: Compiler, node: exp.Binary) -> Term:
        (left, right), _ = compiler.alike(node.left, node.right)
        return Term(f"({left} {operator} {right})", Kind.BOOLEAN)

    return rule


def _arithmetic(operator: str) -> "Rule":
    def rule(compiler: Compiler, node: exp.Binary) -> Term:
        left, right = compiler.number(node.left), compiler.number(node.right)
        if operator in "/%":
            right = f"NULLIF({right}, 0)"
        return Term(f"({left} {operator} {right})", Kind.NUMBER)

    return rule


def _numeric(function: str) -> "Rule":
    def rule(compiler: Compiler, node: exp.Func) -> Term:
        return Term(f"{function}({compiler.number(node.this)})", Kind.NUMBER)

    return rule


def _textual(function: str, kind: Kind = Kind.TEXT) -> "Rule":
    def rule(compiler: Compiler, node: exp.Func) -> Term:
        return Term(f"{function}({compiler.typed(node.this, Kind.TEXT).sql})", kind)

    return rule


def _round(compiler: Compiler, node: exp.Round) -> Term:
    digits = node.args.get("decimals")
    places = 0 if digits is None else _small_integer(compiler, digits)
    return Term(f"ROUND({compiler.number(node.this)}, {places})", Kind.NUMBER)


def _small_integer(compiler: Compiler, node: exp.Expr) -> int:
    if isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit() and len(node.this) <= 2:
        return min(int(node.this), 15)
    raise compiler.refuse("the second argument of ROUND is a number of digits from 0 to 15")


def _not(compiler: Compiler, node: exp.Not) -> Term:
    return Term(f"(NOT {compiler.typed(node.this, Kind.BOOLEAN).sql})", Kind.BOOLEAN)


def _minus(compiler: Compiler, node: exp.Neg) -> Term:
    return Term(f"(-{compiler.number(node.this)})", Kind.NUMBER)


def _is(compiler: Compiler, node: exp.Is) -> Term:
    word = "IS NOT" if node.args.get("negate") else "IS"
    match node.expression:
        case exp.Null():
            return Term(f"({compiler.term(node.this).sql} {word} NULL)", Kind.BOOLEAN)
        case exp.Boolean() as truth:
            value = compiler.typed(node.this, Kind.BOOLEAN)
            return Term(f"({value.sql} {word} {str(bool(truth.this)).upper()})", Kind.BOOLEAN)
        case other:
            raise compiler.refuse(f"IS takes NULL, TRUE or FALSE, not {shown(other)}")


def _in(compiler: Compiler, node: exp.In) -> Term:
    if not 0 < len(node.expressions) <= MAX_IN_LIST:
        raise compiler.refuse(f"IN takes a list of 1 to {MAX_IN_LIST} values; it cannot take a subquery")
    (first, *rest), _ = compiler.alike(node.this, *node.expressions)
    return Term(f"({first} IN ({', '.join(rest)}))", Kind.BOOLEAN)


def _between(compiler: Compiler, node: exp.Between) -> Term:
    (value, low, high), _ = compiler.alike(node.this, node.args["low"], node.args["high"])
    return Term(f"({value} BETWEEN {low} AND {high})", Kind.BOOLEAN)


def _like(compiler: Compiler, node: exp.Like) -> Term:
    if not (isinstance(node.expression, exp.Literal) and node.expression.is_string):
        raise compiler.refuse("LIKE takes a text pattern")
    value = compiler.typed(node.this, Kind.TEXT)
    word = "NOT LIKE" if node.args.get("negate") else "LIKE"
    return Term(f"({value.sql} {word} {text_literal(node.expression.this)})", Kind.BOOLEAN)


def _case(compiler: Compiler, node: exp.Case) -> Term:
    branches = node.args["ifs"]
    operand, conditions = "", [branch.this for branch in branches]
    if node.this is not None:  # compiled once: copied into every branch, nested ones would grow exponentially
        (operand, *wanted), _ = compiler.alike(node.this, *conditions)
    else:
        wanted = [compiler.typed(condition, Kind.BOOLEAN).sql for condition in conditions]
    default = node.args.get("default")
    values, kind = compiler.alike(*(branch.args["true"] for branch in branches), *([default] if default else []))
    whens = " ".join(f"WHEN {when} THEN {then}" for when, then in zip(wanted, values, strict=False))
    return Term(f"(CASE {operand} {whens}{f' ELSE {values[-1]}' if default else ''} END)", kind)


def _coalesce(compiler: Compiler, node: exp.Coalesce) -> Term:
    values, kind = compiler.alike(node.this, *node.expressions)
    return Term(f"COALESCE({', '.join(values)})", kind)


def _nullif(compiler: Compiler, node: exp.Nullif) -> Term:
    (left, right), kind = compiler.alike(node.this, node.expression)
    return Term(f"NULLIF({left}, {right})", kind)


_CASTS = {
    exp.DType.INT: ("BIGINT", Kind.NUMBER),
    exp.DType.BIGINT: ("BIGINT", Kind.NUMBER),
    exp.DType.SMALLINT: ("BIGINT", Kind.NUMBER),
    exp.DType.FLOAT: ("DOUBLE", Kind.NUMBER),
    exp.DType.DOUBLE: ("DOUBLE", Kind.NUMBER),
    exp.DType.DECIMAL: ("DOUBLE", Kind.NUMBER),
    exp.DType.VARCHAR: ("VARCHAR", Kind.TEXT),
    exp.DType.TEXT: ("VARCHAR", Kind.TEXT),
    exp.DType.BOOLEAN: ("BOOLEAN", Kind.BOOLEAN),
    exp.DType.TIMESTAMP: ("TIMESTAMP", Kind.TIME),
    exp.DType.DATE: ("DATE", Kind.TIME),
}


def _cast(compiler: Compiler, node: exp.Cast) -> Term:
    target = _CASTS.get(node.to.this)
    if target is None:
        raise compiler.refuse(
            f"CAST to {shown(node.to)} is not supported; use INTEGER, FLOAT, VARCHAR, BOOLEAN, DATE or TIMESTAMP"
        )
    name, kind = target
    if kind is Kind.TIME and isinstance(node.this, exp.Literal) and node.this.is_string:
        return compiler.moment(node.this.this)
    inner = f"TRY_CAST({compiler.term(node.this).sql} AS {name})"
    return Term(f"TRY_CAST({inner} AS TIMESTAMP)" if name == "DATE" else inner, kind)


_PARTS = {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOW", "ISODOW", "DOY", "HOUR", "MINUTE"}


def _extract(compiler: Compiler, node: exp.Extract) -> Term:
    part = node.this.name.upper()
    if part not in _PARTS:
        raise compiler.refuse(f"EXTRACT takes one of {', '.join(sorted(_PARTS))}")
    return Term(f"EXTRACT({part} FROM {compiler.typed(node.expression, Kind.TIME).sql})", Kind.NUMBER)


Rule = Callable[[Compiler, Any], Term]
_UNARY = frozenset({"this"})
_BINARY = frozenset({"this", "expression"})
_RULES: dict[type[exp.Expr], tuple[Rule, frozenset[str]]] = {
    exp.Literal: (_literal, frozenset({"this", "is_string"})),
    exp.Boolean: (lambda _, node: Term(str(bool(node.this)).upper(), Kind.BOOLEAN), _UNARY),
    exp.Null: (lambda _, __: Term("NULL", Kind.NULL), frozenset()),
    exp.Paren: (lambda compiler, node: compiler.term(node.this), _UNARY),
    exp.And: (_connective("AND"), _BINARY),
    exp.Or: (_connective("OR"), _BINARY),
    exp.Not: (_not, _UNARY),
    exp.EQ: (_comparison("="), _BINARY),
    exp.NEQ: (_comparison("<>"), _BINARY),
    exp.LT: (_comparison("<"), _BINARY),
    exp.LTE: (_comparison("<="), _BINARY),
    exp.GT: (_comparison(">"), _BINARY),
    exp.GTE: (_comparison(">="), _BINARY),
    exp.Is: (_is, _BINARY | {"negate"}),
    exp.In: (_in, frozenset({"this", "expressions"})),
    exp.Between: (_between, frozenset({"this", "low", "high"})),
    exp.Like: (_like, _BINARY | {"negate"}),
    exp.Add: (_arithmetic("+"), _BINARY),
    exp.Sub: (_arithmetic("-"), _BINARY),
    exp.Mul: (_arithmetic("*"), _BINARY),
    exp.Div: (_arithmetic("/"), _BINARY | {"typed", "safe"}),
    exp.Mod: (_arithmetic("%"), _BINARY),
    exp.Neg: (_minus, _UNARY),
    exp.Abs: (_numeric("ABS"), _UNARY),
    exp.Floor: (_numeric("FLOOR"), _UNARY),
    exp.Ceil: (_numeric("CEIL"), _UNARY),
    exp.Round: (_round, frozenset({"this", "decimals"})),
    exp.Lower: (_textual("LOWER"), _UNARY),
    exp.Upper: (_textual("UPPER"), _UNARY),
    exp.Trim: (_textual("TRIM"), _UNARY),
    exp.Length: (_textual("LENGTH", Kind.NUMBER), _UNARY),
    exp.Case: (_case, frozenset({"this", "ifs", "default"})),
    exp.Coalesce: (_coalesce, frozenset({"this", "expressions"})),
    exp.Nullif: (_nullif, _BINARY),
    exp.Cast: (_cast, frozenset({"this", "to"})),
    exp.Extract: (_extract, _BINARY),
}
