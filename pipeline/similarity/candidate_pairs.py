"""Candidate pairs: images that may be near-duplicates, by the similarity of their whitened embeddings.

Whitening keeps the differences between images and removes what all have in common. Up to `EXACT_COUNT` images are
compared with all, block by block on the executors; more only with those in nearby cells (`cells.py`). The driver holds
a sample of the embeddings only.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipeline.similarity.axes import Whitening, fit_whitening
from pipeline.similarity.block_pairs import BLOCK_ROWS, NEIGHBOUR_COUNT, Minima, compare_blocks, compare_guests
from pipeline.similarity.cells import Cells, fit_cells
from pipeline.similarity.samples import sample_vectors
from pipeline.storage.columns.schema import parse_schema
from pipeline.storage.local_frames import make_frame
from pipeline.storage.vectors import to_matrix

SCHEMA: Final = """
    image_id string comment 'the image with the smaller digest, from training_images.image_id',
    near_duplicate_id string comment 'the other image, from training_images.image_id',
    similarity double comment 'cosine of the whitened embeddings, -1 to 1'
"""
MIN_SIMILARITY: Final = 0.55  # of images whose pixels are compared
MIN_NEAREST_SIMILARITY: Final = 0.3  # of an image and its nearest neighbour; a crop of 15 % may be no more similar
FEW_IMAGES: Final = 64  # up to which nearest neighbours are compared at any similarity
SAMPLE_COUNT: Final = 8192
EXACT_COUNT: Final = 100_000
VISIT_COUNT: Final = 8  # cells that an image visits: of real photos' near-duplicates, four find 99.8 % already
MIN_SAMPLED: Final = 8  # images of the sample for each cell


def find_candidate_pairs(features: DataFrame, exact_count: int = EXACT_COUNT) -> DataFrame:
    """Finds pairs of images with similar embeddings, lazily, in the columns of `SCHEMA`.

    Each image is paired with its nearest neighbour, if that is not far away; and among the similar ones with its
    `NEIGHBOUR_COUNT` nearest and the one with the smallest digest, which connects a cluster of similar images although
    not all its pairs are kept. Bound: the driver holds `SAMPLE_COUNT` embeddings, 42 MB of 1,280 numbers. A task holds
    two blocks and their similarities, 100 MB; beyond `exact_count`, a block, `VISIT_COUNT` blocks of guests and the
    similarities of one of them, 200 MB.

    Time grows with the square of the number of images up to `exact_count`. Beyond, it grows in proportion up to four
    million images, and cells of more than `BLOCK_ROWS` images then. An image meets those that live in the cells that it
    visits; a cell of very many images that all resemble each other still costs their square.

    Args:
        features: distinct images, with `image_id` and `features`; read three times at most.
        exact_count: images that are all compared with all.
    """
    readable = features.where(F.col("features").isNotNull()).select("image_id", "features")
    ids, vectors = sample_vectors(readable, SAMPLE_COUNT)
    count = readable.count() if len(ids) == SAMPLE_COUNT else len(ids)
    if count == 0:
        return make_frame(features.sparkSession, parse_schema(SCHEMA))
    whitening = fit_whitening(vectors)
    minima = Minima(MIN_SIMILARITY, MIN_NEAREST_SIMILARITY) if count > FEW_IMAGES else Minima(-1.0, -1.0)
    if count > exact_count:
        cell_count = max(1, min(count // BLOCK_ROWS, len(vectors) // MIN_SAMPLED))
        cells = fit_cells(whitening.apply(vectors).astype("float32"), cell_count)
        similar = _compare_cells(readable, whitening, cells, count, minima)
    else:
        similar = _compare_all(readable, whitening, count, minima)
    return _keep_nearest(similar, minima.similar)


def _compare_all(readable: DataFrame, whitening: Whitening, count: int, minima: Minima) -> DataFrame:
    """Compares every block with every other and with itself."""
    block_count = -(-count // BLOCK_ROWS)
    block = F.pmod(F.xxhash64("image_id"), F.lit(block_count)).cast("int")
    other = F.explode(F.sequence(F.lit(0), F.lit(block_count - 1)))
    whitened = readable.mapInArrow(_whiten(whitening), "image_id string, vector binary")
    met = whitened.withColumn("block", block).withColumn("other", other)
    met = met.withColumns({"low": F.least("block", "other"), "high": F.greatest("block", "other")}).drop("other")
    return met.groupBy("low", "high").applyInArrow(compare_blocks(minima), SCHEMA)


def _compare_cells(readable: DataFrame, whitening: Whitening, cells: Cells, count: int, minima: Minima) -> DataFrame:
    """Compares the residents of every cell with its guests; the sample tells how many blocks a cell is divided into."""
    block_counts = [max(1, round(share * count / BLOCK_ROWS)) for share in cells.shares.tolist()]
    schema = "image_id string, vector binary, cells array<int>"
    whitened = readable.mapInArrow(_whiten(whitening, cells), schema)
    # the first cell comes twice: an image is a resident there, and a guest of its neighbours
    cells_of_image = F.concat(F.slice("cells", 1, 1), F.col("cells"))
    visits = whitened.select("image_id", "vector", F.posexplode(cells_of_image).alias("visit", "cell"))
    block_count = F.get(F.lit(block_counts), F.col("cell"))
    own = F.pmod(F.xxhash64("image_id"), block_count).cast("int")
    each = F.explode(F.sequence(F.lit(0), block_count - 1))
    met = visits.select("*", own.alias("own"), each.alias("each"), (F.col("visit") > 0).alias("is_guest"))
    met = met.withColumns(
        {
            "residents": F.when(F.col("is_guest"), F.col("each")).otherwise(F.col("own")),
            "guests": F.when(F.col("is_guest"), F.col("own")).otherwise(F.col("each")),
        }
    )
    columns = "cell", "residents", "guests", "image_id", "vector", "is_guest"
    return met.select(*columns).groupBy(*columns[:3]).applyInArrow(compare_guests(minima), SCHEMA)


def _whiten(
    whitening: Whitening, cells: Cells | None = None
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def whiten(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                rows = whitening.apply(to_matrix(batch["features"]))
                columns = {
                    "image_id": batch["image_id"],
                    "vector": pa.array([row.tobytes() for row in rows], pa.binary()),
                }
                if cells is not None:
                    columns["cells"] = pa.array(
                        list(cells.rank(rows.astype("float32"), VISIT_COUNT)), pa.list_(pa.int32())
                    )
                yield pa.RecordBatch.from_pydict(columns)

    return whiten


def _keep_nearest(similar: DataFrame, minimum: float) -> DataFrame:
    """Keeps the nearest neighbours and the first similar image of each image, among all blocks; every pair once."""
    similar = similar.distinct()
    rank = F.row_number().over(Window.partitionBy("image_id").orderBy(F.desc("similarity"), "near_duplicate_id"))
    is_similar = F.col("similarity") >= minimum
    first = F.min(F.when(is_similar, F.col("near_duplicate_id"))).over(Window.partitionBy("image_id"))
    kept = similar.withColumns({"rank": rank, "first": first})
    is_chosen = (F.col("rank") <= NEIGHBOUR_COUNT) | (F.col("near_duplicate_id") == F.col("first"))
    kept = kept.where((F.col("rank") == 1) | (is_similar & is_chosen))
    ids = "image_id", "near_duplicate_id"
    pairs = kept.select(F.least(*ids), F.greatest(*ids), "similarity").toDF(*ids, "similarity")
    return pairs.groupBy(*ids).agg(F.max("similarity").alias("similarity"))
