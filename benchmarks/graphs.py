"""Graphs: exported once per launch by Daylight's catalogue; all candidates but the original get the same files.

It runs in a process of its own, because TensorFlow would stay in the harness's memory.
"""

import argparse
import json
from pathlib import Path
from typing import Final

from pipeline.networks.catalogue.backbones import CATALOGUE
from pipeline.networks.catalogue.keras_applications import KerasApplication
from pipeline.networks.pretrained import PretrainedError
from resources.lake.lake import Lake
from resources.models.catalogue import BackboneCatalogue

CALIBRATION_IMAGES: Final = 128


def main() -> None:
    """Exports the named graphs, such as `resnet50:int8`, and prints their paths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("graphs", nargs="+")
    parser.add_argument("--weights", default="")
    options = parser.parse_args()
    photos = sorted(options.images.rglob("*.jpg"))[:CALIBRATION_IMAGES]
    images = [photo.read_bytes() for photo in photos]
    exported = {graph: export(graph, options.lake, options.weights, images) for graph in options.graphs}
    print(json.dumps(exported))


def export(graph: str, lake: Path, weights: str, images: list[bytes]) -> dict[str, str]:
    """Exports one graph, with random weights if none were given and Keras cannot download them."""
    name, precision = graph.split(":")
    catalogue = BackboneCatalogue(name=name, weights=weights, lake=Lake(root=str(lake)))
    try:
        return {"path": catalogue.export(name, precision, images).path, "weights": "trained"}
    except PretrainedError:
        entry = CATALOGUE[name]
        if weights or not isinstance(entry, KerasApplication):
            raise
    folder = lake / "random_weights"
    file = folder / f"{name}.weights.h5"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        entry.build().save_weights(file)
    catalogue = BackboneCatalogue(name=name, weights=str(folder), lake=Lake(root=str(lake)))
    return {"path": catalogue.export(name, precision, images).path, "weights": "random"}


if __name__ == "__main__":
    main()
