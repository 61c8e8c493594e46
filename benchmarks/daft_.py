"""Daft, following its guide to classes and its own image benchmark: download, decode, resize, a class, Parquet.

Its native functions decode and squash to the graph's square. Each instance has one single-threaded session.
"""

import argparse
import json

import daft
import numpy as np
import onnxruntime as ort
from daft.functions import decode_image, download, resize


def main() -> None:
    """Embeds a folder into a folder of Parquet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("graph")
    parser.add_argument("out")
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=4)
    options = parser.parse_args()
    graph = ort.InferenceSession(options.graph)
    size, dimension = graph.get_inputs()[0].shape[1], graph.get_outputs()[0].shape[1]

    @daft.cls(max_concurrency=options.cores)
    class Embedder:
        """A session, loaded once per worker."""

        def __init__(self, graph: str) -> None:
            """Opens the graph."""
            settings = ort.SessionOptions()
            settings.intra_op_num_threads = 1
            self.session = ort.InferenceSession(graph, settings)
            self.input = self.session.get_inputs()[0].name

        @daft.method.batch(
            return_dtype=daft.DataType.embedding(daft.DataType.float32(), dimension), batch_size=options.batch_size
        )
        def __call__(self, images: daft.Series) -> np.ndarray:
            """Embeds RGB images of the graph's size: float32 `[n, dimension]`."""
            (features,) = self.session.run(None, {self.input: np.stack(images.to_pylist())})
            return features

    files = daft.from_glob_path(f"{options.folder}/**/*.jpg")
    images = resize(decode_image(download(daft.col("path")), mode="RGB"), size, size)
    files.select("path", Embedder(options.graph)(images).alias("features")).write_parquet(options.out)
    print(json.dumps({"batch_size": options.batch_size}))


if __name__ == "__main__":
    main()
