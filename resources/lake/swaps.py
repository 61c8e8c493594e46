"""Swaps: files of a table make way for others, while runs read and write it.

Nothing is lost and nothing doubled: a swap counts only if its files are still in the table when it is committed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import RemoveAction
from pyspark.sql import Row

from resources.lake.commits import WHOLE_TABLE, add_actions, commit_with_retries, version_of


@dataclass(frozen=True)
class Swap:
    """Files of one partition value, and the file in their place.

    Attributes:
        value: the day, or the digest of the backbone; None in a table without partitions.
        version: number of writes of the day, or of the table, before the files were read.
        former: their `path`, `size_bytes` and `num_records`, as in the log.
        new: the new file, as in `rows.WRITTEN`; None if no row is left.
    """

    value: str | None
    version: int
    former: Sequence[dict[str, Any]]
    new: Row | None


def list_actions(delta: DeltaTable) -> list[dict[str, Any]]:
    """Lists the files of a table as its log has them: `path`, `size_bytes`, `num_records`, `partition.<column>`."""
    return pa.table(delta.get_add_actions(flatten=True)).to_pylist()


def key_of(value: str | None) -> str:
    """The key of a partition value, or of a table without partitions, for `version_of`."""
    return WHOLE_TABLE if value is None else value


def commit_swaps(folder: str, column: str | None, swaps: Sequence[Swap], has_same_rows: bool) -> list[Swap]:
    """Commits the swaps whose former files are all still in the table, and returns them.

    The transaction names the days, with the versions that they have: if another run replaces one of them at the same
    moment, one of the two commits is refused and tried again. It leaves appends alone, as they name none.

    Raises:
        LakeError: if other writers win too often.
    """
    committed: list[Swap] = []

    def commit(delta: DeltaTable) -> None:
        present = {file["path"] for file in list_actions(delta)}
        committed[:] = [
            swap
            for swap in swaps
            if version_of(delta, key_of(swap.value)) == swap.version
            and present.issuperset(file["path"] for file in swap.former)
        ]
        if not committed:
            return
        new = [swap.new for swap in committed if swap.new]
        actions = add_actions(new, column, is_new=not has_same_rows)
        now = int(time.time() * 1000)
        for swap in committed:
            values: dict[str, str | None] = {column: swap.value} if column else {}
            for file in swap.former:
                actions.append(RemoveAction(file["path"], not has_same_rows, now, file["size_bytes"], values))
        marks = [Transaction(key_of(value), version) for value, version in {(s.value, s.version) for s in committed}]
        properties = CommitProperties(app_transactions=marks)
        columns = [column] if column else None
        delta.create_write_transaction(actions, "append", delta.schema(), columns, commit_properties=properties)

    commit_with_retries(folder, ", ".join(sorted({key_of(swap.value) for swap in swaps})), commit)
    return committed
