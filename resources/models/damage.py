"""Damaged models: files that are missing or cut, as after half a copy, explained in one sentence with the cure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from pipeline.networks.private import RUNTIME_ERRORS

MAX_LENGTH: Final = 300  # of a reason, in characters
_SIGNS: Final = (Py4JJavaError, PySparkException, OSError, ValueError, LookupError, TypeError, *RUNTIME_ERRORS)
"""Errors of ONNX Runtime, of JSON, of Parquet and of MLlib, whose readers expect whole files."""


class ModelError(RuntimeError):
    """A missing or damaged model; the message names it and the cure."""


@contextmanager
def explain_damage(model: str, place: str, cure: str) -> Iterator[None]:
    """Raises a ModelError if a model cannot be read from this place."""
    try:
        yield
    except _SIGNS as error:
        raise ModelError(f"{model} is missing or damaged in {place}: {_find_reason(error)}; {cure}") from error


def _find_reason(error: Exception) -> str:
    """The first line of the deepest cause."""
    text = str(error)
    if isinstance(error, Py4JJavaError):
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        text = cause.toString()
    return text.strip().partition("\n")[0].rstrip(".")[:MAX_LENGTH]
