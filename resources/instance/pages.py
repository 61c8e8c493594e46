"""Conversion of a report to metadata that Dagster's UI shows on the page of an asset.

Images are saved below the compute-log folder, which the webserver serves under `/logs`. The UI draws a short Markdown
link to them inline; an image inside the metadata would hide behind a button and fill the database.
"""

from base64 import b64encode
from collections.abc import Mapping

import dagster as dg
from pyspark.sql.types import StructType

from pipeline.reports.report import Report
from pipeline.storage.schema import find_sources
from resources.instance.private import find_log_file

Metadata = dict[str, dg.MetadataValue]


def show_report(report: Report) -> Metadata:
    """Converts the numbers, texts and tables of a report."""
    return {
        **show_numbers(report.numbers),
        **{name: dg.MetadataValue.text(value) for name, value in report.texts.items()},
        **{name: dg.MetadataValue.md(markdown) for name, markdown in report.tables.items()},
    }


def show_images(report: Report, instance: dg.DagsterInstance, folder: list[str]) -> Metadata:
    """Saves the images of a report, and links to them.

    `folder` has the parts of a path, the run's id first: the images are deleted with the run.
    """
    keys = {name: [*folder, name] for name in report.images}
    return {name: dg.MetadataValue.md(_publish(instance, key, report.images[name])) for name, key in keys.items()}


def show_schema(schema: StructType) -> Metadata:
    """Converts the columns of a table, their comments and the lineage that the comments name."""
    columns, lineage = [], {}
    for field in schema:
        comment = field.metadata.get("comment")
        columns.append(dg.TableColumn(field.name, field.dataType.simpleString(), description=comment))
        if sources := find_sources(comment or ""):
            lineage[field.name] = [dg.TableColumnDep(dg.AssetKey(table), column) for table, column in sources]
    return {
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns)),
        "dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(lineage)),
    }


def show_numbers(numbers: Mapping[str, float | int]) -> Metadata:
    """Converts numbers; floats are rounded, because the UI prints all their digits."""
    return {
        name: dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(round(value, 4))
        for name, value in numbers.items()
    }


def _publish(instance: dg.DagsterInstance, key: list[str], jpeg: bytes) -> str:
    path = find_log_file(instance, key, "jpg")
    if path is None:
        return f"![{key[-1]}](data:image/jpeg;base64,{b64encode(jpeg).decode()})"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg)
    return f"![{key[-1]}](../{'/'.join(['logs', *key, 'jpg'])})"
