"""Pages: how a report becomes metadata that Dagster's UI draws on the page of an asset.

Pictures are put below the compute-log folder, which the webserver serves under `/logs`: a short Markdown link to them
is drawn inline, while a picture inside the metadata hides behind a button and fills the database.
"""

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from pyspark.sql.types import StructType

from pipeline.reports.report import Report
from pipeline.storage.schema import find_sources

Metadata = dict[str, dg.MetadataValue]


def show_report(report: Report) -> Metadata:
    """The numbers, texts and tables of a report."""
    return {
        **show_numbers(report.numbers),
        **{name: dg.MetadataValue.text(value) for name, value in report.texts.items()},
        **{name: dg.MetadataValue.md(markdown) for name, markdown in report.tables.items()},
    }


def show_images(report: Report, instance: dg.DagsterInstance, folder: list[str]) -> Metadata:
    """The pictures of a report.

    Args:
        report: what is told.
        instance: whose webserver shows them.
        folder: parts of the folder to put them into, the run's id first, so that they go with the run.
    """
    return {
        name: dg.MetadataValue.md(_publish(instance, [*folder, name], jpeg)) for name, jpeg in report.images.items()
    }


def show_schema(schema: StructType) -> Metadata:
    """The columns of a table, with their comments, and from which columns of other tables they come.

    Dagster's own pages do not draw the lineage of columns, so that the comments tell it too.
    """
    columns = [
        dg.TableColumn(field.name, field.dataType.simpleString(), description=field.metadata.get("comment"))
        for field in schema
    ]
    sources = {field.name: find_sources(field.metadata.get("comment") or "") for field in schema}
    lineage = {
        name: [dg.TableColumnDep(dg.AssetKey(table), column) for table, column in found]
        for name, found in sources.items()
        if found
    }
    return {
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns)),
        "dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(lineage)),
    }


def show_numbers(numbers: Mapping[str, float | int]) -> Metadata:
    """Numbers as the UI draws them: floats are printed unrounded there, so they are rounded here."""
    return {name: _number(value) for name, value in numbers.items()}


def _number(value: float | int) -> dg.MetadataValue:
    return dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(round(value, 4))


def _publish(instance: dg.DagsterInstance, key: list[str], jpeg: bytes) -> str:
    manager = instance.compute_log_manager
    if not isinstance(manager, LocalComputeLogManager):
        return f"![{key[-1]}](data:image/jpeg;base64,{b64encode(jpeg).decode()})"
    path = Path(manager.get_captured_local_path(key, "jpg"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg)
    return f"![{key[-1]}](../{'/'.join(['logs', *key, 'jpg'])})"
