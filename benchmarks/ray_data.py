"""Ray Data, following its guides to images and to batch inference: `read_images`, a pool of actors, Parquet.

`read_images` decodes and squashes to the graph's square with Pillow. Each actor has one single-threaded session, which
would otherwise take all cores.
"""

import argparse
import json
import tempfile

import numpy as np
import onnxruntime as ort
import ray


class Embedder:
    """An actor with one session."""

    def __init__(self, graph: str) -> None:
        """Opens the graph."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(graph, options)
        self.input = self.session.get_inputs()[0].name

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Embeds uint8 `[n, size, size, 3]`: float32 `[n, dimension]`."""
        (features,) = self.session.run(None, {self.input: batch["image"]})
        return {"path": batch["path"], "features": features}


def main() -> None:
    """Embeds a folder into a folder of Parquet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("graph")
    parser.add_argument("out")
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    size = ort.InferenceSession(options.graph).get_inputs()[0].shape[1]
    # paths of Ray's sockets hold at most 107 characters
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(num_cpus=options.cores, include_dashboard=False, _node_ip_address="127.0.0.1", _temp_dir=folder)
        images = ray.data.read_images(options.folder, size=(size, size), mode="RGB", include_paths=True)
        embedded = images.map_batches(
            Embedder,
            fn_constructor_args=(options.graph,),
            batch_size=options.batch_size,
            compute=ray.data.ActorPoolStrategy(size=options.cores),
            num_cpus=0.5,  # with 1, the tasks that read would never get a core
        )
        embedded.write_parquet(options.out)
        ray.shutdown()
    print(json.dumps({"batch_size": options.batch_size}))


if __name__ == "__main__":
    main()
