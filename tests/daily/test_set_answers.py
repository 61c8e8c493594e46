"""Labels that hold for an image, and those about which no answer is sure enough, are the same by both engines."""

from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from pipeline.daily.set_answers import COLUMNS, LABELS, UNSURE
from pipeline.images.label_sets import DENIAL
from pipeline.reports.portable_query import PortableQuery
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema

DAY = parse_schema("probabilities map<string, double>, label_thresholds map<string, double>, is_allowed boolean")
THRESHOLDS = {"dark": 0.9, f"{DENIAL}dark": 0.8, f"{DENIAL}long": 0.7}
SURE, DOUBTFUL = {"dark": 0.95, "long": 0.1}, {"dark": 0.25, "long": 0.6}


@pytest.mark.parametrize(
    ("probabilities", "is_allowed", "labels", "unsure"),
    [
        pytest.param(SURE, True, ["dark"], [], id="every answer is sure enough"),
        pytest.param(DOUBTFUL, True, ["long"], ["dark", "long"], id="a label without a threshold is never sure"),
        pytest.param({"dark": 0.5, "long": 0.3}, True, ["dark"], ["dark"], id="half a chance is a yes"),
        pytest.param(SURE, False, ["dark"], ["dark", "long"], id="an image that may not be answered"),
        pytest.param(None, True, None, None, id="an image without features"),
    ],
)
def test_a_label_is_unsure_below_the_threshold_of_its_answer(
    spark: SparkSession,
    probabilities: dict | None,
    is_allowed: bool,
    labels: list[str] | None,
    unsure: list[str] | None,
) -> None:
    row: dict[str, Any] = {"is_allowed": is_allowed, "label_thresholds": list(THRESHOLDS.items())}
    row["probabilities"] = None if probabilities is None else list(probabilities.items())
    rows = pa.Table.from_pylist([row], to_arrow_schema(DAY))
    query = PortableQuery(
        "SELECT " + LABELS + " AS labels, " + UNSURE + " AS unsure FROM {rows}",
        parse_schema(COLUMNS),
        {"labels": ["dark", "long"], "denial": DENIAL},
    )
    expected = [{"labels": labels, "unsure": unsure}]
    assert query.run_on_driver(rows=rows).table.to_pylist() == expected
    assert query.run_in_spark(spark, rows=rows).frame.toArrow().to_pylist() == expected
