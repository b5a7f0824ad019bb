"""Vetting of SQL: one SELECT over `df`, of a closed language, becomes a `SqlPlan`.

The text is parsed once, by sqlglot, into a tree that is walked node by node; nothing of the text itself goes
further. SmartNoise SQL and DuckDB see SQL that was generated from the plan, with names of our own.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from math import prod
from typing import NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from amancay_engine.errors import InvalidQuery
from amancay_engine.metadata import (
    BooleanColumn,
    Column,
    DatetimeColumn,
    FloatColumn,
    IntegerColumn,
    PrivacyUnitKind,
    StringColumn,
    TableMetadata,
    bounds,
    public_keys,
)
from amancay_engine.query import SmartnoiseSqlQuery
from amancay_engine.vetting.parameters import vet_delta, vet_epsilon
from amancay_engine.vetting.sql_expression import MAX_COMPILED, Compiler, Kind, RememberingCompiler, Term, shown
from amancay_engine.vetting.sql_plan import Key, Output, Part, PartFunction, SqlPlan, key_name, part_name

# It writes what it cannot parse into the log, and a query may not stand there.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

MAX_SQL = 10_000
MAX_OUTPUTS = 50
MAX_KEYS = 8
MAX_PARTS = 50
MAX_PUBLIC_GROUPS = 10_000
"""Up to here all combinations of public keys are answered; beyond, rare ones are hidden by a threshold instead."""
MAX_LIMIT = 10_000_000
MAX_LABEL = 64
MAX_KEY_TEXT = 100
"""Characters of one text literal in GROUP BY. Every row carries its keys while contributions are bounded: a long text
given to the rows of a condition would fill the memory, and whether the run fails would count them without noise."""
TABLE = "df"
ABILITIES = "COUNT, COUNT(DISTINCT ...), SUM, AVG, VARIANCE and STDDEV of columns"

_CLAUSES = frozenset({"expressions", "from_", "where", "group", "having", "order", "limit", "offset"})
_CLAUSE_NAMES = {
    "with_": "WITH",
    "joins": "JOIN",
    "distinct": "SELECT DISTINCT",
    "laterals": "LATERAL",
    "into": "INTO",
}
_KINDS: dict[type[object], Kind] = {
    IntegerColumn: Kind.NUMBER,
    FloatColumn: Kind.NUMBER,
    StringColumn: Kind.TEXT,
    BooleanColumn: Kind.BOOLEAN,
    DatetimeColumn: Kind.TIME,
}


class _Aggregate(NamedTuple):
    """An aggregate as it is made of parts: their functions, and the formula over their names."""

    functions: tuple[PartFunction, ...]
    formula: Callable[..., str]


def _mean(total: str, rows: str) -> str:
    return f"({total} / {rows})"


def _variance(squares: str, rows: str, total: str) -> str:
    return f"GREATEST({squares} / {rows} - ({total} / {rows}) * ({total} / {rows}), 0)"


def _deviation(squares: str, rows: str, total: str) -> str:
    return f"SQRT({_variance(squares, rows, total)})"


_SPREAD = (PartFunction.SUM_OF_SQUARES, PartFunction.COUNT, PartFunction.SUM)
_AGGREGATES: Mapping[type[exp.Expr] | str, _Aggregate] = {
    exp.Sum: _Aggregate((PartFunction.SUM,), str),
    exp.Avg: _Aggregate((PartFunction.SUM, PartFunction.COUNT), _mean),
    exp.Variance: _Aggregate(_SPREAD, _variance),
    exp.VariancePop: _Aggregate(_SPREAD, _variance),
    exp.Stddev: _Aggregate(_SPREAD, _deviation),
    exp.StddevPop: _Aggregate(_SPREAD, _deviation),
    "VAR": _Aggregate(_SPREAD, _variance),
    "STD": _Aggregate(_SPREAD, _deviation),
    "STDEV": _Aggregate(_SPREAD, _deviation),
}


def vet_smartnoise_sql(query: SmartnoiseSqlQuery, metadata: TableMetadata) -> SqlPlan:
    """Turns a question into a plan.

    Raises:
        InvalidQuery: whatever is not one SELECT over `df` in the closed language, or needs what is not declared.
    """
    vet_epsilon(query.epsilon, "epsilon")
    vet_delta(query.delta, "delta")
    try:
        return _Vetting(_parse(query.sql), metadata, censor_dims=query.censor_dims).plan()
    except RecursionError:
        raise InvalidQuery("the query is nested too deeply", "sql") from None


def column_kind(column: Column) -> Kind:
    """The type that expressions over a column are checked with."""
    return _KINDS[type(column)]


def _parse(sql: str) -> exp.Select:
    if len(sql) > MAX_SQL:
        raise InvalidQuery(f"the query is longer than {MAX_SQL} characters", "sql")
    if not sql.isprintable() and any(0xD800 <= ord(character) < 0xE000 for character in sql):
        raise InvalidQuery("the query holds half of a surrogate pair, which is no text", "sql")
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="postgres") if statement is not None]
    except SqlglotError as error:
        raise InvalidQuery(f"the SQL cannot be read{_place(error)}", "sql") from None
    except ValueError:
        raise InvalidQuery("the SQL cannot be read", "sql") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise InvalidQuery(f"ask one SELECT over the table {TABLE}", "sql")
    return statements[0]


def _place(error: SqlglotError) -> str:
    """Where the parser stopped. The text is the caller's own."""
    details = getattr(error, "errors", None)
    if not details or not details[0].get("line"):
        return ""
    return f": line {details[0]['line']}, column {details[0]['col']}, near {str(details[0].get('highlight'))[:40]!r}"


@dataclass
class _Rows:
    """Names in WHERE and GROUP BY: the columns of `df`."""

    metadata: TableMetadata
    table: str
    clause: str
    used: dict[str, None]

    def resolve(self, node: exp.Expr) -> Term | None:
        if not isinstance(node, exp.Column):
            return None
        name = resolve_column(node, self.metadata, self.table, self.clause)
        self.used[name] = None
        return Term(f'"{name}"', column_kind(self.metadata.columns[name]))


@lru_cache(maxsize=64)
def _by_lower_case(columns: tuple[str, ...]) -> Mapping[str, str]:
    return {name.lower(): name for name in columns}


def resolve_column(node: exp.Expr, metadata: TableMetadata, table: str, clause: str) -> str:
    """The declared column that a name means, without regard to case.

    Raises:
        InvalidQuery: if there is none, with the columns that there are.
    """
    if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star) or node.args.get("db"):
        raise InvalidQuery(f"expected a column of {TABLE} but found {shown(node)}", "sql", clause)
    if node.table and node.table.lower() not in {TABLE, table.lower()}:
        raise InvalidQuery(f"there is no table {node.table[:MAX_LABEL]!r}; ask the table {TABLE}", "sql", clause)
    name = _by_lower_case(tuple(metadata.columns)).get(node.name.lower())
    if name is not None:
        return name
    known = ", ".join(list(metadata.columns)[:20])
    raise InvalidQuery(f"there is no column {node.name[:MAX_LABEL]!r}; the columns are {known}", "sql", clause)


@dataclass
class _Outputs:
    """Names in SELECT, HAVING and ORDER BY: keys and aggregates, and in ORDER BY and HAVING the labels of outputs."""

    vetting: "_Vetting"
    clause: str
    labels: Mapping[str, Term] = field(default_factory=dict)
    parts: dict[Part, None] = field(default_factory=dict)

    def resolve(self, node: exp.Expr) -> Term | None:
        term = self.vetting.key_term(node) or self.vetting.aggregate(node, self)
        if term is None and isinstance(node, exp.Column):
            term = self.labels.get(node.name.lower()) if not node.table else None
            if term is None:
                name = resolve_column(node, self.vetting.metadata, self.vetting.table, self.clause)
                message = f"the column {name} must be in GROUP BY or inside an aggregate: {ABILITIES}"
                raise InvalidQuery(message, "sql", self.clause)
        return term


class _Vetting:
    """One pass over one SELECT."""

    def __init__(self, select: exp.Select, metadata: TableMetadata, *, censor_dims: bool | None) -> None:
        self.metadata = metadata
        self._select = select
        self._censor_dims = censor_dims
        unit = metadata.privacy_unit.column
        self._columns: dict[str, None] = {} if unit is None else {unit: None}
        self._parts: dict[Part, None] = {}
        self._keys: list[Key] = []
        self._key_terms: dict[str, Term] = {}
        self._censored = False
        self.table = self._from()
        self._repeated = RememberingCompiler(_Rows(metadata, self.table, "select", {}))

    def plan(self) -> SqlPlan:
        where = self._where()
        self._group()
        self._censor()
        outputs, labels = self._select_list()
        having, order = self._having(labels), self._order(labels, outputs)
        if not self._parts:
            raise InvalidQuery(f"ask for at least one aggregate: {ABILITIES}", "sql", "select")
        compiled = (
            [output.sql for output in outputs] + [key.sql for key in self._keys] + [where or "", having or "", *order]
        )
        if sum(map(len, compiled)) > MAX_COMPILED:
            raise InvalidQuery("the query means too much: it repeats long expressions too often", "sql")
        return SqlPlan(
            columns=tuple(self._columns),
            where=where,
            keys=tuple(self._keys),
            parts=tuple(self._parts),
            censored=self._censored,
            outputs=outputs,
            having=having,
            order=order,
            limit=self._whole_number("limit"),
            offset=self._whole_number("offset") or 0,
        )

    def _from(self) -> str:
        for name, value in self._select.args.items():
            if value and name not in _CLAUSES:
                word = _CLAUSE_NAMES.get(name, name.strip("_").upper())
                raise InvalidQuery(f"{word} is not supported: ask one SELECT over the single table {TABLE}", "sql")
        source = self._select.args.get("from_")
        table = source.this if source is not None else None
        if not isinstance(table, exp.Table):
            raise InvalidQuery(f"ask the table {TABLE} itself, not a subquery: SELECT ... FROM {TABLE}", "sql", "from")  # noqa: S608 - a message
        if not _is_plain(table) or table.name.lower() != TABLE:
            raise InvalidQuery(f"there is only one table here, {TABLE}: SELECT ... FROM {TABLE}", "sql", "from")  # noqa: S608 - a message
        return table.alias or TABLE

    def _row_scope(self, clause: str) -> _Rows:
        return _Rows(self.metadata, self.table, clause, self._columns)

    def _where(self) -> str | None:
        where = self._select.args.get("where")
        if where is None:
            return None
        return Compiler(self._row_scope("where")).typed(where.this, Kind.BOOLEAN).sql

    def _group(self) -> None:
        group = self._select.args.get("group")
        if group is None:
            return
        if any(value and name != "expressions" for name, value in group.args.items()):
            raise InvalidQuery(
                "GROUP BY takes a list of columns; ROLLUP, CUBE and sets are not supported", "sql", "group by"
            )
        if len(group.expressions) > MAX_KEYS:
            raise InvalidQuery(f"GROUP BY takes at most {MAX_KEYS} keys", "sql", "group by")
        for expression in group.expressions:
            self._add_key(self._meant(expression))

    def _meant(self, expression: exp.Expr) -> exp.Expr:
        """What an ordinal or a label of the SELECT list in GROUP BY stands for; columns go before labels."""
        if isinstance(expression, exp.Literal):
            return self._ordinal(expression, "group by").unalias()
        is_name = isinstance(expression, exp.Column) and not expression.table
        if is_name and expression.name.lower() not in {name.lower() for name in self.metadata.columns}:
            for item in self._select.expressions:
                if isinstance(item, exp.Alias) and item.alias.lower() == expression.name.lower():
                    return _node(item.this)
        return expression

    def _ordinal(self, literal: exp.Literal, clause: str) -> exp.Expr:
        index = literal.this if not literal.is_string and literal.this.isascii() and literal.this.isdigit() else ""
        if not 0 < len(index) < 5 or not 0 < int(index) <= len(self._select.expressions):
            raise InvalidQuery(f"{shown(literal)} is not the number of a column of SELECT", "sql", clause)
        return _node(self._select.expressions[int(index) - 1])

    def _add_key(self, expression: exp.Expr) -> None:
        if any(literal.is_string and len(literal.this) > MAX_KEY_TEXT for literal in expression.find_all(exp.Literal)):
            raise InvalidQuery(f"text in GROUP BY has at most {MAX_KEY_TEXT} characters", "sql", "group by")
        term = Compiler(self._row_scope("group by")).term(expression)
        if term.sql in self._key_terms:
            return
        column = None
        if isinstance(expression, exp.Column):
            column = resolve_column(expression, self.metadata, self.table, "group by")
        unit = self.metadata.privacy_unit.column
        if unit is not None and f'"{unit}"' in term.sql:
            raise InvalidQuery(
                f"{unit} identifies the privacy unit and cannot be a group; count it with COUNT(DISTINCT {unit})",
                "sql",
                "group by",
            )
        public = public_keys(self.metadata.columns[column]) if column else None
        self._key_terms[term.sql] = Term(key_name(len(self._keys)), term.kind)
        self._keys.append(Key(column or shown(expression), term.sql, term.kind, public))

    def _censor(self) -> None:
        """Rare groups are hidden unless every key is public; then all combinations are answered, present or not."""
        if not self._keys:
            return
        private = [key.label for key in self._keys if key.public is None]
        too_many = prod(len(key.public or ()) for key in self._keys) > MAX_PUBLIC_GROUPS
        if private and self._censor_dims is False:
            message = (
                f"the values of {', '.join(private)} are private: groups cannot be shown without censoring rare ones"
            )
            raise InvalidQuery(message, "censorDims")
        if not private and too_many and self._censor_dims is False:
            raise InvalidQuery(
                f"more than {MAX_PUBLIC_GROUPS} groups cannot be shown without censoring rare ones",
                "censorDims",
            )
        self._censored = bool(private) or too_many or self._censor_dims is True
        if self._censored:
            self._parts[self._key_count()] = None

    def _key_count(self) -> Part:
        """How many privacy units are in a group: what the threshold looks at."""
        unit = self.metadata.privacy_unit
        if unit.kind is PrivacyUnitKind.ROW:
            return Part(PartFunction.COUNT, None)
        return Part(PartFunction.COUNT_DISTINCT, unit.column)

    def key_term(self, node: exp.Expr) -> Term | None:
        """The key that an expression of SELECT repeats, if it does."""
        if not self._key_terms or isinstance(node, exp.Literal):
            return None
        try:
            term = self._repeated.term(node)
        except InvalidQuery:
            return None
        return self._key_terms.get(term.sql)

    def aggregate(self, node: exp.Expr, scope: _Outputs) -> Term | None:
        """The term for an aggregate function, whose parts are noted; None for other nodes."""
        if isinstance(node, exp.Count):
            return self._count(node, scope)
        name = node.name.upper() if isinstance(node, exp.Anonymous) else type(node)
        aggregate = _AGGREGATES.get(name)
        if aggregate is None:
            if isinstance(node, exp.AggFunc | exp.Anonymous | exp.Window | exp.Filter | exp.Subquery | exp.Star):
                message = f"{shown(node)} is not supported; what can be asked is {ABILITIES}"
                raise InvalidQuery(message, "sql", scope.clause)
            return None
        argument = node.expressions[0] if isinstance(node, exp.Anonymous) and len(node.expressions) == 1 else node.this
        column = self._summed_column(argument, shown(node), scope)
        names = [self._part(Part(function, column), scope) for function in aggregate.functions]
        if len(names) == 1:
            return Term(names[0], Kind.NUMBER)
        formula = aggregate.formula(names[0], f"CAST({names[1]} AS DOUBLE)", *names[2:])
        if aggregate.formula is _mean:
            lower, upper = bounds(self.metadata.columns[column]) or (0, 0)
            formula = f"LEAST(GREATEST({formula}, {lower!r}), {upper!r})"
        # Around all of it: GREATEST and LEAST pass over NULL, and a group without rows would show a bound.
        return Term(f"(CASE WHEN {names[1]} >= 1 THEN {formula} END)", Kind.NUMBER)

    def _count(self, node: exp.Count, scope: _Outputs) -> Term:
        argument = node.this
        if node.expressions or argument is None:
            raise InvalidQuery(f"{shown(node)}: COUNT takes *, a column, or DISTINCT and a column", "sql", scope.clause)
        if isinstance(argument, exp.Star | exp.Literal):
            return Term(self._part(Part(PartFunction.COUNT, None), scope), Kind.NUMBER)
        function = PartFunction.COUNT
        if isinstance(argument, exp.Distinct):
            function = PartFunction.COUNT_DISTINCT
            if len(argument.expressions) != 1 or argument.args.get("on"):
                raise InvalidQuery("COUNT(DISTINCT ...) takes one column", "sql", scope.clause)
            argument = argument.expressions[0]
        column = resolve_column(argument.unnest(), self.metadata, self.table, scope.clause)
        return Term(self._part(Part(function, column), scope), Kind.NUMBER)

    def _summed_column(self, argument: exp.Expr, call: str, scope: _Outputs) -> str:
        """The column that is summed: one with declared bounds, since these decide the noise."""
        if isinstance(argument, exp.Expr):
            argument = argument.unnest()
        if not isinstance(argument, exp.Column):
            raise InvalidQuery(
                f"{call}: an aggregate takes one column of {TABLE}, not an expression", "sql", scope.clause
            )
        name = resolve_column(argument, self.metadata, self.table, scope.clause)
        column = self.metadata.columns[name]
        if name == self.metadata.privacy_unit.column:
            raise InvalidQuery(f"{call}: {name} identifies the privacy unit and cannot be summed", "sql", scope.clause)
        if column_kind(column) is not Kind.NUMBER:
            raise InvalidQuery(f"{call}: {name} is not numeric", "sql", scope.clause)
        if bounds(column) is None:
            raise InvalidQuery(
                f"{call}: no bounds are declared for {name}, so its sum cannot be protected",
                "sql",
                scope.clause,
            )
        return name

    def _part(self, part: Part, scope: _Outputs) -> str:
        if part.column is not None:
            self._columns[part.column] = None
        self._parts.setdefault(part)
        if len(self._parts) > MAX_PARTS:
            raise InvalidQuery(f"the query needs more than {MAX_PARTS} noisy quantities", "sql", "select")
        scope.parts.setdefault(part)
        return part_name(list(self._parts).index(part))

    def _select_list(self) -> tuple[tuple[Output, ...], dict[str, Term]]:
        if not 0 < len(self._select.expressions) <= MAX_OUTPUTS:
            raise InvalidQuery(f"SELECT takes 1 to {MAX_OUTPUTS} columns", "sql", "select")
        outputs: list[Output] = []
        labels: dict[str, Term] = {}
        for item in self._select.expressions:
            scope = _Outputs(self, "select")
            term = Compiler(scope).term(item.unalias())
            label = fresh(_label(item), labels)
            labels[label.lower()] = term
            simple = len(scope.parts) == 1 and term.sql == self._part(next(iter(scope.parts)), scope)
            outputs.append(Output(label, term.sql, term.kind, tuple(scope.parts), simple))
        return tuple(outputs), labels

    def _having(self, labels: Mapping[str, Term]) -> str | None:
        having = self._select.args.get("having")
        if having is None:
            return None
        return Compiler(_Outputs(self, "having", labels)).typed(having.this, Kind.BOOLEAN).sql

    def _order(self, labels: Mapping[str, Term], outputs: tuple[Output, ...]) -> tuple[str, ...]:
        order = self._select.args.get("order")
        return tuple(self._sort_item(item, labels, outputs) for item in order.expressions) if order else ()

    def _sort_item(self, item: exp.Ordered, labels: Mapping[str, Term], outputs: tuple[Output, ...]) -> str:
        if item.args.get("with_fill"):
            raise InvalidQuery("ORDER BY takes keys, aggregates and labels", "sql", "order by")
        if isinstance(item.this, exp.Literal):
            position = self._select.expressions.index(self._ordinal(item.this, "order by"))
            sql = outputs[position].sql
        else:
            label = (
                labels.get(item.this.name.lower())
                if isinstance(item.this, exp.Column) and not item.this.table
                else None
            )
            sql = label.sql if label else Compiler(_Outputs(self, "order by", labels)).term(item.this).sql
        nulls = "FIRST" if item.args.get("nulls_first") else "LAST"
        return f"{sql} {'DESC' if item.args.get('desc') else 'ASC'} NULLS {nulls}"

    def _whole_number(self, clause: str) -> int | None:
        node = self._select.args.get(clause)
        if node is None:
            return None
        if any(value and name != "expression" for name, value in node.args.items()):
            raise InvalidQuery(f"{clause.upper()} takes a whole number and nothing more", "sql", clause)
        literal = node.expression
        digits = literal.this if isinstance(literal, exp.Literal) and not literal.is_string else ""
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or int(digits) > MAX_LIMIT:
            raise InvalidQuery(f"{clause.upper()} takes a whole number up to {MAX_LIMIT}", "sql", clause)
        return int(digits)


def _node(value: object) -> exp.Expr:
    """sqlglot leaves the type of children open."""
    assert isinstance(value, exp.Expr)
    return value


def _is_plain(table: exp.Table) -> bool:
    """True for a bare name with or without an alias."""
    extra = {name for name, value in table.args.items() if value} - {"this", "alias"}
    alias = table.args.get("alias")
    return not extra and isinstance(table.this, exp.Identifier) and not (alias and alias.args.get("columns"))


def _label(item: exp.Expr) -> str:
    """The name of an output column: its alias, its column, or its function."""
    inner = item.unalias()
    if isinstance(item, exp.Alias):
        name = item.alias
    elif isinstance(inner, exp.Column):
        name = inner.name
    elif isinstance(inner, exp.Anonymous):
        name = inner.name.lower()
    else:
        name = inner.sql_name().lower() if isinstance(inner, exp.Func) else "column"
    if not 0 < len(name) <= MAX_LABEL or not name.isprintable():
        raise InvalidQuery(
            f"a column's name must be printable and at most {MAX_LABEL} characters long", "sql", "select"
        )
    return name


def fresh(label: str, taken: Iterable[str]) -> str:
    """`label`, numbered if an earlier column has it, whatever the case."""
    used = {name.lower() for name in taken}
    return next(
        name for number in count(1) if (name := label if number == 1 else f"{label}_{number}").lower() not in used
    )
