"""Datasets: tables as Arrow reads them, without Spark."""

import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow import fs

from pipeline.storage.files import open_folder


def open_dataset(delta: DeltaTable, folder: str) -> ds.Dataset:
    """Opens the rows of a table in this folder or URI.

    Arrow opens the files itself. Through deltalake's file system, Arrow's threads would call Python, which aborts a
    process that ends meanwhile ("terminate called without an active exception").
    """
    filesystem, root = open_folder(folder)
    return delta.to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(root, filesystem))
