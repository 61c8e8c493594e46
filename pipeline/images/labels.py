"""Labels: the label, split and group of every training file, from its path or a manifest; no image is opened."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.embed.limits import DEFAULT_LIMITS
from pipeline.images.image_files import FILE_COLUMNS, read_files
from pipeline.images.label_sets import EMPTY, list_members
from pipeline.images.manifest import MANIFEST, find_in_manifest
from pipeline.images.places import NOWHERE, LabelError, Place, find_by_pattern, find_in_folders, list_similar
from pipeline.images.sidecar_files import SIDECAR, is_below_sidecar_folder, is_sidecar
from pipeline.images.split import HOLDOUT, TRAIN, split_by_digest
from pipeline.reports.markdown import markdown_table
from pipeline.reports.report import Report
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.counting import count_by
from pipeline.storage.files import list_files

SCHEMA: Final = f"""
    label string comment 'label of the image, from reviews.label, or by folder, manifest or pattern',
    split string comment 'train or holdout, for good: as given, or as the digest decides',
    split_said string comment 'split given by folder, manifest or pattern; null where none is',
    group string comment 'group given by the manifest, such as a shop or a session; else null',
    origin string comment 'source of the label: folder, manifest, pattern, or from reviews.origin', {FILE_COLUMNS}
"""
SHOWN_ORIGINS: Final = 10
SHOWN_FILES: Final = 5
SHOWN_LABELS: Final = 100  # on the page; of more, those with the fewest images


@dataclass(frozen=True)
class TrainingFiles:
    """The files of a training folder.

    Attributes:
        labelled: rows of `list_files` with `label`, `split` and its copy `split_said` (both null where the digest
            decides), `group` (or null) and `origin`.
        unlabelled: paths of files without a label, which are left out.
        sidecars: paths of sidecar files, which are left out too; labelled ones are found when they are read.
        is_multi_label: whether `label` is the text of a set of labels.
    """

    labelled: pa.Table
    unlabelled: list[str]
    sidecars: list[str]
    is_multi_label: bool = False


def list_training_files(
    folder: str,
    pattern: str = "",
    manifest: str = "",
    labels: Mapping[str, str] | None = None,
    is_multi_label: bool = False,
) -> TrainingFiles:
    """Lists labelled files.

    The label comes from the manifest if one is named or the folder has `manifest.csv`, else from the pattern if there
    is one, else from the first folder of the path. A folder `train`, `validation` or `test` above the label sets the
    split. Nothing below a sidecar folder has a label.

    Args:
        folder: folder of the labelled images.
        pattern: regular expression for the path, with a group `label` and optionally `split` and `group`.
        manifest: path or URI of a manifest that lies elsewhere; its paths are below the folder.
        labels: labels to learn by labels of the files; one that is not listed stays, an empty one leaves files out.
        is_multi_label: whether files have sets of labels, which only a manifest can give; `label` is their text.

    Raises:
        FileNotFoundError: if the folder does not exist.
        LabelError: if the manifest or the pattern is invalid, or no file has a label.
    """
    all_files = list_files(folder)
    is_outside = pa.array([not is_below_sidecar_folder(path) for path in all_files["path"].to_pylist()], pa.bool_())
    files, sidecars = all_files.filter(is_outside), all_files.filter(pc.invert(is_outside))["path"].to_pylist()
    paths = files["path"].to_pylist()
    if manifest or MANIFEST in paths:
        listed = find_in_manifest(folder, all_files["path"].to_pylist(), manifest, is_multi_label)
        origin, places = "manifest", [listed.get(path, NOWHERE) for path in paths]
    elif is_multi_label:
        raise LabelError(f"multi_label needs {MANIFEST} in {folder}, or the key manifest: a table of path and labels")
    elif pattern:
        origin, places = "pattern", find_by_pattern(pattern, paths)
    else:
        origin, places = "folder", find_in_folders(paths)
    places = [_rename(place, labels or {}) for place in places]
    if not any(place.label for place in places):
        raise LabelError(
            f"no labelled image in {folder}: put images into folders named after their labels,"
            f" list them in {MANIFEST}, or set a pattern that finds the label in their paths"
        )
    columns = {
        "label": [place.label for place in places],
        "split": [place.split for place in places],
        "split_said": [place.split for place in places],
        "group": [place.group for place in places],
        "origin": [origin] * len(places),
    }
    for name, values in columns.items():
        files = files.append_column(name, pa.array(values, pa.string()))
    unlabelled = [path for path, place in zip(paths, places, strict=True) if not place.label and path != MANIFEST]
    sidecars += [path for path in unlabelled if is_sidecar(path, b"")]
    unlabelled = [path for path in unlabelled if not is_sidecar(path, b"")]
    return TrainingFiles(files.filter(files["label"].is_valid()), unlabelled, sidecars, is_multi_label)


def _rename(place: Place, labels: Mapping[str, str]) -> Place:
    return place._replace(label=labels[place.label] or None) if place.label and place.label in labels else place


def read_training_images(
    spark: SparkSession, files: TrainingFiles, max_bytes: int = DEFAULT_LIMITS.bytes, is_stored: bool = True
) -> DataFrame:
    """Reads labelled images lazily, one row per file that is no sidecar, in the columns of `SCHEMA`.

    Without a given split the digest of the bytes decides, so an image never changes its split when others arrive.
    Other arguments are those of `read_files`.
    """
    images = read_files(lambda: spark, files.labelled, SCHEMA, max_bytes, is_stored).frame
    images = images.where(~F.col("read_error").eqNullSafe(SIDECAR))
    images = images.withColumn("split", F.coalesce("split", split_by_digest(F.col("image_id"))))
    return images.to(parse_schema(SCHEMA))


def describe_training_images(files: TrainingFiles) -> Callable[[DataFrame], Report]:
    """Reports the number of images per label and origin, the files without a label and the sidecar files."""

    def describe(training_images: DataFrame) -> Report:
        counts: Counter[tuple[str, str]] = Counter()
        found = count_by(training_images, "label", "split")
        for row in found:
            for label in list_members(row["label"]) or [EMPTY] if files.is_multi_label else [row["label"]]:
                counts[label, row["split"]] += row["count"]
        labels = sorted({label for label, _ in counts})
        holdout_count = sum(row["count"] for row in found if row["split"] == HOLDOUT)
        origins = count_by(training_images, "origin")
        rows = [[label, counts[label, TRAIN], counts[label, HOLDOUT]] for label in labels]
        fewest = sorted(rows, key=lambda row: row[1:])[:SHOWN_LABELS] if len(rows) > SHOWN_LABELS else rows
        own_origins = files.labelled["origin"].unique().to_pylist()
        stored_count = sum(row["count"] for row in origins if row["origin"] in own_origins)
        return Report(
            numbers={
                "label_count": len(labels),
                "holdout_count": holdout_count,
                "unlabelled_count": len(files.unlabelled),
                "sidecar_count": len(files.sidecars) + files.labelled.num_rows - stored_count,
            },
            texts=_list_doubts(files, labels),
            tables={
                "labels": markdown_table(["label", TRAIN, HOLDOUT], fewest),
                "origins": markdown_table(
                    ["origin", "images"], [[row["origin"], row["count"]] for row in origins[:SHOWN_ORIGINS]]
                ),
            },
        )

    return describe


def _list_doubts(files: TrainingFiles, labels: list[str]) -> dict[str, str]:
    """Lists some files without a label, and labels that are probably one."""
    texts = {}
    if files.unlabelled:
        texts["unlabelled"] = ", ".join(map(repr, files.unlabelled[:SHOWN_FILES]))
    if similar := list_similar(labels):
        groups = "; ".join(" and ".join(map(repr, group)) for group in similar[:SHOWN_FILES])
        texts["similar_labels"] = f"{groups}: each is a class of its own; rename one if they are the same"
    return texts
