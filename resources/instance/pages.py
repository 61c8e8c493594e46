"""Conversion of a report to metadata that Dagster's UI shows on the page of an asset.

Images are saved below the compute-log folder, which the webserver serves under `/logs`. The UI draws a short Markdown
link to them inline; an image inside the metadata would hide behind a button and fill the database.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping

import dagster as dg
from pyspark.sql.types import StructType

from pipeline.reports.report import Report
from pipeline.storage.columns.schema import find_sources
from resources.instance.private import find_log_file

Metadata = dict[str, dg.MetadataValue]


def show_report(report: Report) -> Metadata:
    """Converts the numbers, texts and tables of a report."""
    return {
        **show_numbers(report.numbers),
        **{name: dg.MetadataValue.text(value) for name, value in report.texts.items()},
        **{name: dg.MetadataValue.md(markdown) for name, markdown in report.tables.items()},
    }


def show_images(report: Report, step: dg.AssetExecutionContext, day: str | None = None) -> Metadata:
    """Saves the images of a report on an asset, or on a day of it, and links to them from its page.

    Their folder has the name of the run, so they are deleted with it.
    """
    asset = step.asset_key.path
    folder, depth = [step.run.run_id, *asset, *([day] if day else [])], len(asset)
    published = {name: _publish(step.instance, [*folder, name], jpeg, depth) for name, jpeg in report.images.items()}
    return {name: dg.MetadataValue.md(f"![{name}]({link})") for name, link in published.items()}


def show_schema(schema: StructType, to_key: Callable[[str], dg.AssetKey] = dg.AssetKey) -> Metadata:
    """Converts the columns of a table, their comments and the lineage that the comments name.

    `to_key` finds the asset of a table.
    """
    columns, lineage = [], {}
    for field in schema:
        comment = field.metadata.get("comment")
        columns.append(dg.TableColumn(field.name, field.dataType.simpleString(), description=comment))
        if sources := find_sources(comment or ""):
            lineage[field.name] = [dg.TableColumnDep(to_key(table), column) for table, column in sources]
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


def _publish(instance: dg.DagsterInstance, key: list[str], jpeg: bytes, depth: int) -> str:
    """Saves an image and returns its address, as seen from a page so many parts of a path below its kind."""
    path = find_log_file(instance, key, "jpg")
    if path is None:
        return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg)
    return f"{'../' * depth}{'/'.join(['logs', *key, 'jpg'])}"
