"""DDL: the columns of our tables as text, read without Spark, which takes a hundredth of a second for each text."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from pyspark.sql import types as T

_TOKEN: Final = re.compile(r"\s*('[^']*'|\w+|\S)")
_TYPES: Final[dict[str, type[T.DataType]]] = {
    "string": T.StringType,
    "binary": T.BinaryType,
    "boolean": T.BooleanType,
    "int": T.IntegerType,
    "bigint": T.LongType,
    "long": T.LongType,
    "float": T.FloatType,
    "double": T.DoubleType,
    "date": T.DateType,
    "timestamp": T.TimestampType,
}
_END: Final = ""


def read_ddl(ddl: str) -> T.StructType | None:
    """Reads columns of the types that our tables have; None if there is anything else in the text."""
    tokens = _Tokens(ddl)
    try:
        columns = _read_fields(tokens, _END)
        return columns if tokens.next == _END else None
    except ValueError:
        return None


class _Tokens:
    """The words and signs of a text, one after another; `_END` at its end."""

    def __init__(self, text: str) -> None:
        self._rest: Iterator[str] = chain((found[1] for found in _TOKEN.finditer(text.rstrip())), [_END])
        self.next = next(self._rest)

    def take(self, *expected: str) -> str:
        """Takes the next one.

        Raises:
            ValueError: if it is none of those that are expected, or the text is at its end.
        """
        token = self.next
        if (expected and token.lower() not in expected) or token == _END:
            raise ValueError(token)
        self.next = next(self._rest)
        return token


def _read_fields(tokens: _Tokens, end: str) -> T.StructType:
    fields = [_read_field(tokens)]
    while tokens.next != end:
        tokens.take(",")
        fields.append(_read_field(tokens))
    return T.StructType(fields)


def _read_field(tokens: _Tokens) -> T.StructField:
    name = tokens.take()
    if tokens.next == ":":
        tokens.take()
    if not name.isidentifier():
        raise ValueError(name)
    kind, nullable, metadata = _read_type(tokens), True, {}
    if tokens.next.lower() == "not":
        tokens.take()
        tokens.take("null")
        nullable = False
    if tokens.next.lower() == "comment":
        tokens.take()
        quoted = tokens.take()
        if not quoted.startswith("'") or "\\" in quoted:
            raise ValueError(quoted)
        metadata["comment"] = quoted[1:-1]
    return T.StructField(name, kind, nullable, metadata)


def _read_type(tokens: _Tokens) -> T.DataType:
    name = tokens.take().lower()
    if name in _TYPES:
        return _TYPES[name]()
    if name not in ("array", "map", "struct"):
        raise ValueError(name)
    tokens.take("<")
    if name == "struct":
        kind: T.DataType = _read_fields(tokens, ">")
    elif name == "array":
        kind = T.ArrayType(_read_type(tokens))
    else:
        key = _read_type(tokens)
        tokens.take(",")
        kind = T.MapType(key, _read_type(tokens))
    tokens.take(">")
    return kind
