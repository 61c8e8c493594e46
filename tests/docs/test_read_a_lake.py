import hashlib
from datetime import date
from pathlib import Path

import nbformat
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from nbclient import NotebookClient

from pipeline.daily import predictions
from pipeline.drift import comparison
from pipeline.images import image_files
from pipeline.reviews import review_queue
from pipeline.storage.columns.arrow_schema import to_arrow_schema
from pipeline.storage.columns.schema import parse_schema

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs/read_a_lake.ipynb"
DAYS = [date(2026, 11, 21), date(2026, 11, 22)]


@pytest.fixture
def lake(spark, make_photo, tmp_path):
    """Two days of three images, in the schemas of the real tables."""
    files = [
        (day, f"{colour}.jpg", colour, make_photo(colour, day.day))
        for day in DAYS
        for colour in ("red", "green", "blue")
    ]
    rows = [
        {
            "day": day,
            "image_id": hashlib.sha256(content).hexdigest(),
            "path": path,
            "content": content,
            "predicted_label": label,
            "confidence": 0.4 if label == "blue" else 0.9,
            "decision": "review" if label == "blue" else "answered",
            "reason": "uncertain",
        }
        for day, path, label, content in files
    ]
    compared = [
        {
            "day": day,
            "comparison": kind,
            "image_count": 3,
            "p_value": 0.004,
            "is_alarm": True,
            "summary": f"{kind} differ",
        }
        for day in DAYS
        for kind in ("images", "labels")
    ]
    tables = {
        "images": (image_files.SCHEMA, rows),
        "predictions": (predictions.SCHEMA, rows),
        "drift": (comparison.SCHEMA, compared),
        "review_queue": (review_queue.SCHEMA, [row for row in rows if row["decision"] == "review"]),
    }
    for name, (schema, content) in tables.items():
        arrow = pa.Table.from_pylist(content, to_arrow_schema(parse_schema(schema)))
        write_deltalake(tmp_path / "lake" / name, arrow)
    return tmp_path / "lake"


def test_the_notebook_reads_a_lake(lake):
    (lake.parent / "docs").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": lake.parent / "docs"}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "\n".join(output["data"].get("text/plain", "") for output in shown)
    assert all(word in text for word in ("answered", "review", "labels differ"))
    assert len([output for output in shown if "image/png" in output["data"]]) == 3
    assert not [output for output in shown if output["output_type"] in ("error", "stream")]


def test_the_notebook_is_stored_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
