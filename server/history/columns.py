"""Column types that hold the same on both databases. Knows no table."""

from __future__ import annotations

import re

from sqlalchemy import Dialect, Function, TypeDecorator, type_coerce
from sqlalchemy import Text as PlainText
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


class Text(TypeDecorator[str]):
    """Text, whatever a model or a client writes: what the database cannot hold becomes U+FFFD.

    That is a surrogate without its other half anywhere, and NUL on PostgreSQL.
    """

    impl = PlainText
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if dialect.name == "postgresql" and "\0" in value:
            value = value.replace("\0", "\ufffd")
        return value if value.isascii() else _HALF_A_CHARACTER.sub("\ufffd", value)


class Words(TypeDecorator[str]):
    """Words with one space between them. PostgreSQL keeps them as the lexemes of a tsvector, just as they are."""

    impl = PlainText
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return dialect.type_descriptor(TSVECTOR() if dialect.name == "postgresql" else PlainText())

    def bind_expression(self, bindvalue: ColumnElement[str]) -> ColumnElement[str]:
        return _Lexemes("lexemes", type_coerce(bindvalue, PlainText), type_=self)


class _Lexemes(Function[str]):
    inherit_cache = True


@compiles(_Lexemes)
def _as_text(element: _Lexemes, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_Lexemes, "postgresql")
def _as_tsvector(element: _Lexemes, compiler: SQLCompiler, **options: object) -> str:
    return f"array_to_tsvector(string_to_array({compiler.process(element.clauses, **options)}, ' '))"
