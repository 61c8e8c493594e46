"""The files beside a stored classifier: its cross-fits, its training set and its end-to-end graph.

Daily runs load none but the cross-fits; the model itself is `store.py`.
"""

import atexit
import hashlib
import io
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.embed.backbone import Backbone, open_backbone
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.levels import levels_of, table_of_levels
from pipeline.training.classifier import Classifier
from pipeline.training.graph.head import refuse_head
from resources.lake.model_files import TRAINING_SET, ModelFiles
from resources.models.damage import ModelError, explain_damage

CROSS_FITS: Final = "cross_fits.parquet"
FORMER_CROSS_FIT: Final = "cross_fitted.parquet"  # of versions that knew one level only
END_TO_END_GRAPH: Final = "classifier.onnx"
LOOKUP_ROWS: Final = 2**13  # per row group of the training set, sorted by image: a lookup reads one group


@dataclass(frozen=True)
class FilesBeside:
    """The files beside the classifier of this version; reading a damaged one raises a ModelError."""

    files: ModelFiles
    version: str

    @property
    def folder(self) -> Path:
        """The folder of the classifier, or of its copy, on this machine."""
        return self.files.folder / "classifier" / self.version

    def find_graph(self) -> Backbone | None:
        """Opens the end-to-end graph; None if there is none.

        Opens a temporary copy named after its digest, because Spark accepts each file name only once.
        """
        content = self.files.read(self.folder / END_TO_END_GRAPH)
        if content is None:
            return None
        folder = tempfile.TemporaryDirectory(prefix="daylight-graph-")
        atexit.register(folder.cleanup)
        copy = Path(folder.name) / f"{hashlib.sha256(content).hexdigest()}.onnx"
        copy.write_bytes(content)
        with self.explain_damage():
            return open_backbone(copy)

    def read_cross_fits(self) -> tuple[LabelledPredictions, ...]:
        """Reads the cross-fits, the easiest level first; none if the classifier was fitted without."""
        for name in (CROSS_FITS, FORMER_CROSS_FIT):
            if table := self._read_parquet(name):
                return levels_of(table)
        return ()

    def has_all(self, classifier: Classifier) -> bool:
        """Whether every file that a training stores beside this classifier is there and undamaged."""
        names = [CROSS_FITS, TRAINING_SET, *([] if refuse_head(classifier.model) else [END_TO_END_GRAPH])]
        return all(map(self._is_whole, names))

    def repair(self, contents: dict[str, bytes]) -> None:
        """Writes the files that are damaged, or that an earlier version of Daylight did not write."""
        for name, content in contents.items():
            if not self._is_whole(name):
                self.files.write(self.folder / name, content)

    def explain_damage(self) -> AbstractContextManager[None]:
        """Raises a ModelError if a file of the classifier cannot be read."""
        cure = "copy this folder again, or delete it and launch the job training"
        return explain_damage(f"the classifier {self.version}", f"{self.files.root}/classifier/{self.version}", cure)

    def _is_whole(self, name: str) -> bool:
        try:
            found = self.find_graph() if name == END_TO_END_GRAPH else self._read_parquet(name)
        except ModelError as error:
            dg.get_dagster_logger().warning(f"{name} will be written again: {error}")
            return False
        return found is not None

    def _read_parquet(self, name: str) -> pa.Table | None:
        with self.explain_damage():
            content = self.files.read(self.folder / name)
            return None if content is None else pq.read_table(io.BytesIO(content))


def pack_files(classifier: Classifier) -> dict[str, bytes]:
    """Collects the files to store beside a fitted classifier, by name; none if it was loaded."""
    files = {}
    if classifier.graph:
        files[END_TO_END_GRAPH] = classifier.graph
    if classifier.cross_fits:
        files[CROSS_FITS] = _to_parquet(table_of_levels(classifier.cross_fits))
    if classifier.training_set is not None:
        files[TRAINING_SET] = _to_parquet(classifier.training_set)
    return files


def _to_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=LOOKUP_ROWS)
    return sink.getvalue()
