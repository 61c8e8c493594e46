"""The I/O manager of tables: stores the table of an asset in the lake and reports on it on the asset's page."""

import time
from datetime import date
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame

from pipeline.reports.report import Report, Table
from pipeline.storage.columns.schema import fingerprint
from pipeline.storage.rows import SmallRows
from pipeline.storage.stored_rows import StoredRows
from resources.instance.pages import Metadata, show_images, show_numbers, show_report, show_schema
from resources.lake.lake import Lake
from resources.spark.session import SparkResource


class TableIOManager(dg.ConfigurableIOManager):
    """Stores a `Table` under its asset's name; partitions are days.

    Loads it in the type that the asset asks for: a DataFrame, `StoredRows`, or a small table as `pyarrow.Table`.
    """

    lake: Lake = Field(description="Lake that stores the tables.")
    spark: SparkResource = Field(description="Spark session that reads the tables.")

    def handle_output(self, context: dg.OutputContext, obj: Table) -> None:
        """Stores a table and adds the report of each day to the event of that day.

        The data version of a table without days is the fingerprint of its rows, so equal rows make nothing downstream
        stale. Days of one run would have to share a version, so they keep the version of the run.
        """
        name, days, step = context.asset_key.path[-1], _days(context), dg.AssetExecutionContext.get()
        started = time.monotonic()
        written = self.lake.write(name, obj.frame, days, obj.is_added)
        seconds = time.monotonic() - started
        found = self.lake.read(self.spark.spark_session, name, days)
        stored = found.read_small() if isinstance(obj.frame, SmallRows) else found
        row_counts = found.count_rows() if obj.is_added else written
        if days is None:
            step.set_data_version(context.asset_key, dg.DataVersion(fingerprint(found.frame)))
        total = sum(row_counts.values())
        reports = obj.describe(stored) if total or days is None else {}
        shared = show_schema(obj.frame.schema, self.lake.key)
        if not isinstance(obj.frame, SmallRows):  # the driver computed those before
            shared |= show_numbers({"seconds": seconds, "rows_per_second": sum(written.values()) / seconds})
        shared["table"] = dg.MetadataValue.path(str(self.lake.folder(name)))
        for day in days or (None,):
            report = reports.get(date.fromisoformat(day) if day else None, Report())
            metadata = shared | self._show(step, report, row_counts[day], day)
            step.add_asset_metadata(metadata, partition_key=day)

    def load_input(self, context: dg.InputContext) -> DataFrame | StoredRows | pa.Table:
        """Loads the days of the run, or the whole of a table without days, in the type that the asset asks for."""
        stored = self.lake.read(self.spark.spark_session, context.asset_key.path[-1], _days(context))
        wanted = context.dagster_type.typing_type
        if wanted is pa.Table:
            return stored.read_small()
        return stored if wanted is StoredRows else stored.frame

    def _show(self, step: dg.AssetExecutionContext, report: Report, row_count: int, day: str | None) -> Metadata:
        key = "dagster/row_count" if day is None else "dagster/partition_row_count"
        metadata: dict[str, Any] = {key: row_count}
        if row_count == 0 and day:
            return metadata | {"note": "no images on this day"}
        return metadata | show_report(report) | show_images(report, step, day)


def _days(context: dg.OutputContext | dg.InputContext) -> list[str] | None:
    return list(context.asset_partition_keys) if context.has_asset_partitions else None
