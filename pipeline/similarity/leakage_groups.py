"""Groups: pictures that must lie on one side of the split, because they are twins or because somebody said so.

A picture that once had a side keeps it. Where that would put a group on both, its pictures on the train side are left
out of training and of the holdout, so that the holdout never moves and is never learned from.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final

from pyspark.sql import DataFrame, Row, Window
from pyspark.sql import functions as F

from pipeline.images.split import HOLDOUT, TRAIN, split_by_digest
from pipeline.reports.contact_sheet import draw_contact_sheet, read_tiles
from pipeline.reports.markdown import markdown_table
from pipeline.reports.palette import DOUBTFUL, INK
from pipeline.reports.report import Report
from pipeline.storage.counting import only_row
from pipeline.storage.schema import parse_schema

MEMBERS_SCHEMA: Final = """
    image_id string comment 'a picture that is not alone',
    group string comment 'the smallest image_id of its group',
    name string comment 'the first of the names that its pictures were given; null where none was'
"""
SHEET_GROUPS: Final = 6
SHEET_PICTURES: Final = 24

Node = tuple[str, str]
"""A picture or a name, told apart by the first."""


def group_images(twins: DataFrame, training_images: DataFrame) -> DataFrame:
    """Groups pictures that hang together by twins, by names that they were given, or by both.

    Bound: the driver holds about 500 bytes for each pair, and for each picture with a name.

    Args:
        twins: pairs, with `image_id` and `near_duplicate_id`.
        training_images: with `image_id`, and perhaps with `group`, a name or null.

    Returns:
        The columns of `MEMBERS_SCHEMA`; a picture without twins and without a name is not there.
    """
    pairs = [
        (row["image_id"], row["near_duplicate_id"]) for row in twins.select("image_id", "near_duplicate_id").collect()
    ]
    edges: list[tuple[Node, Node]] = [(("picture", one), ("picture", other)) for one, other in pairs]
    if "group" in training_images.columns:  # a table of a former version has no names
        named = training_images.where(F.col("image_id").isNotNull() & F.col("group").isNotNull())
        found = named.select("image_id", "group").distinct().collect()
        edges += [(("picture", row["image_id"]), ("name", row["group"])) for row in found]
    rows = []
    for group in connect(edges):
        ids = sorted(text for kind, text in group if kind == "picture")
        name = min((text for kind, text in group if kind == "name"), default=None)
        rows += [(image_id, ids[0], name) for image_id in ids]
    return training_images.sparkSession.createDataFrame(rows, parse_schema(MEMBERS_SCHEMA))


def connect(edges: Iterable[tuple[Node, Node]]) -> list[list[Node]]:
    """The connected components of a graph."""
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
    """Gives every picture its group and the side of that, lazily.

    What a folder or a manifest says stands; else where the picture was before; a new one goes where its group is; a new
    group where the digest of its name says, or else its smallest `image_id`.

    Args:
        training_images: with `image_id` and `split`, and perhaps with `split_said`, null where the digest decides.
        members: of `group_images`.
        former: the same pictures as they were split before, with `image_id` and `split`; None where they never were.

    Returns:
        `image_id`, `group` and `split`: null where the picture is left out.
    """
    # A picture of a table of a former version, which does not tell who said the side, stays where it is.
    said = "split_said" if "split_said" in training_images.columns else "split"
    pictures = training_images.where(F.col("image_id").isNotNull()).groupBy("image_id").agg(F.min(said).alias("said"))
    pictures = pictures.join(members, "image_id", "left").withColumn("group", F.coalesce("group", "image_id"))
    fixed = F.col("said")
    if former is not None:
        # One that was left out stood on the train side, and does again once nothing ties it to the holdout.
        sides = former.select("image_id", F.coalesce("split", F.lit(TRAIN)).alias("former"))
        pictures, fixed = pictures.join(sides, "image_id", "left"), F.coalesce("said", "former")
    group = Window.partitionBy("group")
    split = pictures.withColumn("fixed", fixed).withColumns(
        {
            "first": F.min("fixed").over(group),
            "last": F.max("fixed").over(group),
            "drawn": split_by_digest(F.coalesce(F.sha2("name", 256), F.col("group"))),
        }
    )
    is_torn = F.col("first") != F.col("last")
    kept = F.when(F.col("fixed") == HOLDOUT, HOLDOUT)
    return split.select(
        "image_id", "group", F.when(is_torn, kept).otherwise(F.coalesce("first", "drawn")).alias("split")
    )


def describe_groups(images: DataFrame) -> Callable[[DataFrame], Report]:
    """How many groups there are, how many pictures they moved or left out, and a sheet of the largest ones.

    Args:
        images: with `image_id` and `content`, of all labelled pictures.
    """

    def describe(features: DataFrame) -> Report:
        size = F.count("*").over(Window.partitionBy("group"))
        grouped = features.select("image_id", "group", "label", "split", "split_alone").withColumn("size", size)
        grouped = grouped.where("size > 1")
        found = only_row(
            grouped.select(
                F.count_distinct("group").alias("groups"),
                F.count("*").alias("pictures"),
                F.count_if(F.col("split") != F.col("split_alone")).alias("moved"),
                F.count_if(F.col("split").isNull()).alias("left out"),
            )
        )
        largest = grouped.groupBy("group").agg(
            F.count("*").alias("size"),
            *(F.count_if(F.col("split") == side).alias(side) for side in (TRAIN, HOLDOUT)),
            F.array_sort(F.collect_set("label")).alias("labels"),
        )
        rows = largest.orderBy(F.desc("size"), "group").limit(SHEET_GROUPS).collect()
        table = [[r["group"][:12], r["size"], r[TRAIN], r[HOLDOUT], ", ".join(r["labels"][:5])] for r in rows]
        shown = grouped.where(F.col("group").isin([row["group"] for row in rows]))
        tiles = shown.orderBy(F.desc("size"), "group", "image_id").limit(SHEET_PICTURES).collect()
        return Report(
            numbers={
                "group_count": found["groups"],
                "grouped_count": found["pictures"],
                "moved_count": found["moved"],
                "left_out_count": found["left out"],
            },
            tables={"largest_groups": markdown_table(["group", "pictures", TRAIN, HOLDOUT, "labels"], table)}
            if rows
            else {},
            images={"groups": draw_contact_sheet(read_tiles(images, tiles, _caption))} if tiles else {},
        )

    return describe


def _caption(row: Row) -> tuple[str, str]:
    colour = INK if row["split"] else DOUBTFUL
    return f"{row['group'][:6]} {row['split'] or 'left out'}\n{row['label'] or 'two labels'}", colour
