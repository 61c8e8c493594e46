"""Documents: review forms, reports and the records beside classifiers, as an image is erased from them."""

import csv
import io
import secrets
from collections.abc import Callable, Collection
from itertools import product
from typing import Final

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from pipeline.storage.files import open_folder, replace_file
from resources.lake.lake import MODELS, Lake
from resources.lake.model_files import DRIFT_REFERENCE

REPORTS: Final = "reports"
REVIEW_FORMS: Final = "review_forms"
CLASSIFIERS: Final = "classifier"  # below the models; records are <version>/<record>, the model itself lies deeper
ERASED: Final = "(erased)"


def forget_in_documents(lake: Lake, image_id: str, days: Collection[str]) -> list[str]:
    """Erases an image from review forms and records of classifiers, and deletes the reports of its days.

    Rows of a training set or a cross-fit stay under a random id, so that their labels still count. The reference of the
    drift test has no ids, so it is deleted, and prepared again when it is needed.

    Returns:
        Paths of the changed and deleted files below the lake.
    """
    filesystem, root = open_folder(lake.root)
    changed, stand_in = [], secrets.token_hex(32)
    prefixes = ("", *lake.list_prefixes())
    for models in (Lake(root=lake.root, prefix=prefix).models for prefix in prefixes):
        reference = models.folder / DRIFT_REFERENCE
        if models.has(reference):
            models.delete(reference)
            changed.append(f"{models.root.removeprefix(lake.root).lstrip('/')}/{DRIFT_REFERENCE}")
    for prefix, kind in product(prefixes, (REPORTS, REVIEW_FORMS, CLASSIFIERS)):
        folder = "/".join(filter(None, (root, MODELS if kind == CLASSIFIERS else "", prefix, kind)))
        selector = fs.FileSelector(folder, recursive=True, allow_not_found=True)
        for info in filesystem.get_file_info(selector):
            path = info.path.removeprefix(root).lstrip("/")
            if kind == REPORTS:
                is_changed = info.base_name.removesuffix(".html") in days
                if is_changed:
                    filesystem.delete_file(info.path)
            elif kind == REVIEW_FORMS:
                is_changed = _rewrite(filesystem, info, lambda form: without_line(form, image_id))
            else:
                is_record = info.path.removeprefix(f"{folder}/").count("/") == 1 and path.endswith(".parquet")
                is_changed = is_record and _rewrite(
                    filesystem, info, lambda record: without_member(record, image_id, stand_in)
                )
            changed += [path] if is_changed else []
    return changed


def _rewrite(filesystem: fs.FileSystem, info: fs.FileInfo, change: Callable[[bytes], bytes | None]) -> bool:
    with filesystem.open_input_file(info.path) as stream:
        content = change(stream.read())
    if content is None:
        return False
    with replace_file(filesystem, info.path) as sink:
        sink.write(content)
    return True


def without_member(record: bytes, image_id: str, stand_in: str) -> bytes | None:
    """Replaces the id of an image, and its path, in a Parquet file beside a classifier; None if it is not in it."""
    with pq.ParquetFile(io.BytesIO(record)) as file:
        rows, group_rows = file.read(), max(1, file.metadata.row_group(0).num_rows if file.num_row_groups else 1)
    if "image_id" not in rows.column_names:
        return None
    is_member = pc.fill_null(pc.equal(rows["image_id"], image_id), False)
    if not pc.any(is_member).as_py():
        return None
    for name, text in {"image_id": stand_in, "path": ERASED}.items():
        if name in rows.column_names:
            column = pc.if_else(is_member, text, rows[name])
            rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd", row_group_size=group_rows)
    return sink.getvalue()


def without_line(form: bytes, image_id: str) -> bytes | None:
    """Drops the lines of an image from a review form; None if it has none."""
    lines = list(csv.reader(io.StringIO(form.decode("utf-8-sig"), newline="")))
    kept = [line for line in lines if image_id not in line]
    if len(kept) == len(lines):
        return None
    file = io.StringIO(newline="")
    csv.writer(file).writerows(kept)
    return f"\ufeff{file.getvalue()}".encode()
