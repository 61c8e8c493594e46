"""Graphs: made once per launch, by Daylight's own catalogue; all contestants but the original get the same files.

A process of its own, because TensorFlow would stay in the harness's memory.
"""

import argparse
import json
from pathlib import Path
from typing import Final

from pipeline.networks.catalogue.entries import CATALOGUE, KerasEntry
from pipeline.networks.catalogue.keras_applications import build_application
from pipeline.networks.pretrained import PretrainedError
from resources.lake.lake import Lake
from resources.models.catalogue import BackboneCatalogue

CALIBRATION_PICTURES: Final = 128


def main() -> None:
    """Makes the graphs that are named, such as `resnet50:int8`, and prints where they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("graphs", nargs="+")
    parser.add_argument("--weights", default="")
    options = parser.parse_args()
    photos = sorted(options.pictures.rglob("*.jpg"))[:CALIBRATION_PICTURES]
    pictures = [photo.read_bytes() for photo in photos]
    made = {graph: make(graph, options.lake, options.weights, pictures) for graph in options.graphs}
    print(json.dumps(made))


def make(graph: str, lake: Path, weights: str, pictures: list[bytes]) -> dict[str, str]:
    """Exports one graph; with random weights, and says so, where none were given and none can be downloaded."""
    name, precision = graph.split(":")
    catalogue = BackboneCatalogue(name=name, weights=weights, lake=Lake(root=str(lake)))
    try:
        return {"path": catalogue.export(name, precision, pictures).path, "weights": "trained"}
    except PretrainedError:
        entry = CATALOGUE[name]
        if weights or not isinstance(entry, KerasEntry):
            raise
    folder = lake / "random_weights"
    file = folder / f"{name}.weights.h5"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        build_application(entry.application, entry.size).save_weights(file)
    catalogue = BackboneCatalogue(name=name, weights=str(folder), lake=Lake(root=str(lake)))
    return {"path": catalogue.export(name, precision, pictures).path, "weights": "random"}


if __name__ == "__main__":
    main()
