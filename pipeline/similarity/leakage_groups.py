"""Leakage groups: images that must share a split, because they are near-duplicates or the user named their group.

An image keeps its split. If a group would lie in both, its train images are left out: the holdout never changes.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from pipeline.embed.limits import DEFAULT_LIMITS, Limits
from pipeline.images.split import HOLDOUT, TRAIN, split_by_digest
from pipeline.reports.contact_sheet import draw_contact_sheet, draw_tiles
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL, INK
from pipeline.reports.report import Report
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import only_row
from pipeline.storage.local_frames import make_frame
from pipeline.storage.stored_rows import StoredRows

MEMBERS_SCHEMA: Final = """
    image_id string comment 'image with near-duplicates or with a given group name',
    group string comment 'smallest image_id of its group',
    name string comment 'first name given to one of its images; null where none was'
"""
SHEET_GROUPS: Final = 6
SHEET_IMAGES: Final = 24

Node = tuple[str, str]  # a kind (`image` or `name`) and an id


def group_images(near_duplicates: DataFrame, training_images: DataFrame) -> DataFrame:
    """Groups images that are connected by near-duplicate pairs or given names, in the columns of `MEMBERS_SCHEMA`.

    The driver holds about 500 bytes per pair and per image with a name.

    Args:
        near_duplicates: pairs, with `image_id` and `near_duplicate_id`.
        training_images: labelled images, with `image_id` and optionally `group`, a name or null.
    """
    pairs = near_duplicates.select("image_id", "near_duplicate_id").collect()
    edges: list[tuple[Node, Node]] = [(("image", one), ("image", other)) for one, other in pairs]
    if "group" in training_images.columns:  # a table of an earlier version has no names
        named = training_images.where(F.col("image_id").isNotNull() & F.col("group").isNotNull())
        found = named.select("image_id", "group").distinct().collect()
        edges += [(("image", row["image_id"]), ("name", row["group"])) for row in found]
    rows: list[dict[str, object]] = []
    for group in connect(edges):
        ids = sorted(text for kind, text in group if kind == "image")
        name = min((text for kind, text in group if kind == "name"), default=None)
        rows += [{"image_id": image_id, "group": ids[0], "name": name} for image_id in ids]
    return make_frame(training_images.sparkSession, parse_schema(MEMBERS_SCHEMA), rows)


def connect(edges: Iterable[tuple[Node, Node]]) -> list[list[Node]]:
    """Finds the connected components of a graph."""
    parents: dict[Node, Node] = {}

    def root(node: Node) -> Node:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    for one, other in edges:
        parents[root(one)] = root(other)
    components = defaultdict(list)
    for node in list(parents):
        components[root(node)].append(node)
    return list(components.values())


def split_groups(training_images: DataFrame, members: DataFrame, former: DataFrame | None) -> DataFrame:
    """Assigns each image its group and the split of that group, lazily.

    A split given by folder or manifest wins, then the former split of the image. A new image joins the split of its
    group. The split of a new group follows from the digest of its name, or from its smallest `image_id`.

    Args:
        training_images: labelled images, with `image_id`, `split` and optionally `split_said`.
        members: result of `group_images`.
        former: former split, with `image_id` and `split`; None before the first training.

    Returns:
        `image_id`, `group` and `split`, which is null for images that are left out.
    """
    # a table of an earlier version does not record who set the split: its images keep theirs
    given = "split_said" if "split_said" in training_images.columns else "split"
    images = training_images.where(F.col("image_id").isNotNull()).groupBy("image_id").agg(F.min(given).alias("given"))
    images = images.join(members, "image_id", "left").withColumn("group", F.coalesce("group", "image_id"))
    fixed = F.col("given")
    if former is not None:
        # images left out were in train, and return once nothing ties them to the holdout
        splits = former.select("image_id", F.coalesce("split", F.lit(TRAIN)).alias("former"))
        images, fixed = images.join(splits, "image_id", "left"), F.coalesce("given", "former")
    group = Window.partitionBy("group")
    split = images.withColumn("fixed", fixed).withColumns(
        {
            "first": F.min("fixed").over(group),
            "last": F.max("fixed").over(group),
            "drawn": split_by_digest(F.coalesce(F.sha2("name", 256), F.col("group"))),
        }
    )
    is_split_across = F.col("first") != F.col("last")
    kept = F.when(F.col("fixed") == HOLDOUT, HOLDOUT)
    return split.select(
        "image_id", "group", F.when(is_split_across, kept).otherwise(F.coalesce("first", "drawn")).alias("split")
    )


def describe_groups(images: StoredRows, limits: Limits = DEFAULT_LIMITS) -> Callable[[DataFrame], Report]:
    """Reports groups and the images they moved or left out; the largest groups are drawn from the `images`."""

    def describe(training_split: DataFrame) -> Report:
        size = F.count("*").over(Window.partitionBy("group"))
        grouped = training_split.select("image_id", "group", "label", "split", "split_alone").withColumn("size", size)
        grouped = grouped.where("size > 1")
        counts = {
            "group_count": F.count_distinct("group"),
            "grouped_count": F.count("*"),
            "moved_count": F.count_if(F.col("split") != F.col("split_alone")),
            "left_out_count": F.count_if(F.col("split").isNull()),
        }
        numbers = only_row(grouped.select(*(column.alias(name) for name, column in counts.items()))).asDict()
        largest = grouped.groupBy("group").agg(
            F.count("*").alias("size"),
            *(F.count_if(F.col("split") == name).alias(name) for name in (TRAIN, HOLDOUT)),
            F.array_sort(F.collect_set("label")).alias("labels"),
        )
        rows = largest.orderBy(F.desc("size"), "group").limit(SHEET_GROUPS).collect()
        table = [[r["group"][:12], r["size"], r[TRAIN], r[HOLDOUT], ", ".join(r["labels"][:5])] for r in rows]
        shown = grouped.where(F.col("group").isin([row["group"] for row in rows]))
        tiles = shown.orderBy(F.desc("size"), "group", "image_id").limit(SHEET_IMAGES).collect()
        if not rows:
            return Report(numbers)
        largest_groups = markdown_table(["group", "images", TRAIN, HOLDOUT, "labels"], table)
        sheet = draw_contact_sheet(draw_tiles(images, tiles, _caption, limits))
        return Report(numbers, tables={"largest_groups": largest_groups}, images={"groups": sheet})

    return describe


def _caption(row: Row) -> tuple[str, str]:
    colour = INK if row["split"] else DOUBTFUL
    return f"{row['group'][:6]} {row['split'] or 'left out'}\n{row['label'] or 'two labels'}", colour
