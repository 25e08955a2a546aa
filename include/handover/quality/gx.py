"""Great Expectations at work: it is told what to expect of a table and says yes, no or that it could not.

Importing this takes seconds and warns, so that ``validation`` does it when it is needed. Nothing but these
three answers leaves: its results, messages and log lines can quote rows. It gets no data context (files,
telemetry), no address (a password) and no say over the session, which is one of ours, pinned and read-only.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import sqlalchemy as sa
from great_expectations.core.batch import Batch
from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.validator.validator import Validator

from handover.model.expectation import Rule, TableFacts
from handover.postgres.session import connect
from handover.quality.schema_kinds import kind_of

# No values, no examples, no queries: success alone.
_RUNTIME = {"catch_exceptions": True, "result_format": {"result_format": "BOOLEAN_ONLY"}}
_METRIC = "handover.failing_rows"
_COUNTED = "expect_no_failing_rows"


class FailingRows(TableMetricProvider):
    """How many rows a query of ours counts; the number is all that leaves the database."""

    metric_name = _METRIC
    value_keys = ("query",)

    @metric_value(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(
        cls,  # noqa: N805 (the decorator makes it one)
        execution_engine: SqlAlchemyExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> int:
        # A literal column, unlike text(), leaves colons and percent signs in names alone.
        count = sa.literal_column(f"({metric_value_kwargs['query']})", sa.BigInteger)
        return int(execution_engine.execute_query(sa.select(count)).scalar())


class ExpectNoFailingRows(BatchExpectation):
    """That a query of ours counts no row."""

    query: str
    metric_dependencies: ClassVar[tuple[str, ...]] = (_METRIC,)
    success_keys: ClassVar[tuple[str, ...]] = ("query",)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: Any = None,
    ) -> dict[str, Any]:
        return {"success": metrics[_METRIC] == 0}


class _Type(sa.types.UserDefinedType[Any]):
    """A type by its name in the database."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: object) -> str:
        return self.name


class _Columns:
    """Tells the columns of one table, in place of an inspector, which stumbles over types of users."""

    def __init__(self, table: TableFacts, dialect: sa.Dialect) -> None:
        self.dialect = dialect
        self._columns = [{"name": fact.name, "type": _Type(fact.type)} for fact in table.columns]

    def get_columns(self, **_: object) -> list[dict[str, Any]]:
        return self._columns

    def get_pk_constraint(self, **_: object) -> dict[str, Any]:
        return {}


class Questions(SqlAlchemyExecutionEngine):
    """Asks about one table at a time, whose columns it was told."""

    table: TableFacts

    def get_inspector(self) -> _Columns:
        """Return what is known of the table's columns; nothing is read to find out."""
        return _Columns(self.table, self.engine.dialect)


# Takes a table, the rules that Great Expectations asks in its own way, and by its id each query of ours that
# counts failing rows; returns success by id, None where there was no answer.
Ask = Callable[[TableFacts, Sequence[Rule], Mapping[str, str]], dict[str, bool | None]]


@contextmanager
def asking(url: str) -> Iterator[Ask]:
    """Give what asks all rules of one table together; its connections are ours, pinned and read-only."""
    with _silent():
        engine = sa.create_engine(
            "postgresql+psycopg://", creator=lambda: connect(url, read_only=True), hide_parameters=True
        )
        try:
            yield partial(_answers, Questions(engine=engine))
        finally:
            engine.dispose()


@contextmanager
def _silent() -> Iterator[None]:
    """Let nobody log or warn: tracebacks of failed queries hold what the database said of a row."""
    loggers = [logging.getLogger(name) for name in ("great_expectations", "sqlalchemy")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _answers(
    engine: Questions, table: TableFacts, rules: Sequence[Rule], counts: Mapping[str, str]
) -> dict[str, bool | None]:
    engine.table = table
    configurations = [_asked(rule.id, rule.kind, kind_of(rule).asked()) for rule in rules]
    configurations += [_asked(name, _COUNTED, {"query": query}) for name, query in counts.items()]
    found: dict[str, bool | None] = {str(asked.meta["id"]): None for asked in configurations}
    try:
        validator = Validator(execution_engine=engine, batches=[_batch(engine, table, rules)])
        validator.metrics_calculator.show_progress_bars = False
        results = validator.graph_validate(configurations=configurations, runtime_configuration=_RUNTIME)
    except Exception:  # noqa: BLE001 (it may quote a row; that there is no answer is told, and fails)
        return found
    for result in results:
        if result.expectation_config is not None and not _raised(result.exception_info):
            found[str(result.expectation_config.meta["id"])] = bool(result.success)
    return found


def _raised(info: Mapping[str, Any] | None) -> bool:
    """Say whether an answer is an error: told of the whole, or of each metric by its id."""
    if not info:
        return False
    parts = [info, *(part for part in info.values() if isinstance(part, Mapping))]
    return any(part.get("raised_exception") for part in parts)


def _asked(name: str, kind: str, kwargs: dict[str, object]) -> ExpectationConfiguration:
    return ExpectationConfiguration(type=kind, kwargs=kwargs, meta={"id": name})


def _batch(engine: Questions, table: TableFacts, rules: Sequence[Rule]) -> Batch:
    """Return the columns that the rules are about, of the table alone, without a table that inherits.

    Enumerations become text, which is what suites compare them with. The table is named a second time so
    that the inspector is asked for its columns; else all its rows would be fetched to find them.
    """
    name, schema = (sa.quoted_name(part, True) for part in (table.name, table.schema_name))
    wanted = {column for rule in rules for column in rule.columns}
    facts = [fact for fact in table.columns if fact.name in wanted]
    source = sa.table(name, *(sa.column(sa.quoted_name(f.name, True)) for f in facts), schema=schema)
    shown: list[sa.ColumnElement[Any]] = [
        sa.cast(source.c[f.name], sa.Text).label(sa.quoted_name(f.name, True)) if f.enum else source.c[f.name]
        for f in facts
    ]
    query = sa.select(*(shown or [sa.literal(1).label("row")])).select_from(source)
    data = SqlAlchemyBatchData(
        execution_engine=engine,
        selectable=query if table.partitioned else query.with_hint(source, "ONLY", "postgresql"),
        create_temp_table=False,
        use_quoted_name=True,
        source_table_name=name,
        source_schema_name=schema,
    )
    return Batch(data=data)  # type: ignore[arg-type]  # its annotation names classes, it takes objects
