"""The choice of the fit: is the fit that 1,000 labelled images prefer the better one for images that arrive?

    python -m benchmarks.fit_choice FOLDER --days FOLDER
    python -m benchmarks.fit_choice FOLDER --days FOLDER --backbones efficientnet-lite2 /data/my.onnx

FOLDER has the layout of a training folder. The choice is that of `precision_measurement`: the accuracy of a cross-fit
on the images with the smallest digests. The regression is fitted on the driver, as the folds of a cross-fit are. The
truth is the accuracy on the other folder of a regression on all of FOLDER.
"""

import argparse
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.embed.backbone import load_backbone, open_backbone
from pipeline.embed.decode import decode
from pipeline.embed.fits import FITS, Fit
from pipeline.images.labels import list_training_files
from pipeline.networks.export import export_backbone
from pipeline.networks.loader import open_pretrained
from pipeline.similarity.nearest import normalise
from pipeline.training.fold_fits import MLLIB_TOLERANCE
from pipeline.training.heads import head_params
from pipeline.training.params import ClassifierParams
from pipeline.training.precision import MAX_IMAGES
from pipeline.training.softmax.regression import SoftmaxRegression, fit_softmax

BATCH: Final = 16
FOLDS: Final = 5


@dataclass(frozen=True)
class Photos:
    """Labelled images, those with the smallest digests first: contents and labels str `[n]`."""

    contents: list[bytes]
    labels: np.ndarray


def main() -> None:
    """Prints a row for each backbone and fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=Path, required=True, help="labelled images that arrive")
    parser.add_argument("--backbones", nargs="+", default=["efficientnet-lite0", "efficientnet-lite1"])
    options = parser.parse_args()
    known, arriving = read_photos(options.folder), read_photos(options.days)
    labels, numbers = np.unique(known.labels, return_inverse=True)
    params = ClassifierParams()
    settings = head_params(params.head, params.params)

    def fit_head(vectors: np.ndarray, chosen: np.ndarray) -> SoftmaxRegression:
        return fit_softmax(vectors, chosen, settings["regParam"], int(settings["maxIter"]), MLLIB_TOLERANCE)

    def cross_fit(vectors: np.ndarray, truth: np.ndarray) -> float:
        fold = np.arange(len(vectors)) % FOLDS
        parts = [(fit_head(vectors[fold != each], truth[fold != each]), fold == each) for each in range(FOLDS)]
        right = [head.predict(vectors[own]).argmax(axis=1) == truth[own] for head, own in parts]
        return float(np.concatenate(right).mean())

    print("| backbone | fit | cross-fit of the sample | cross-fit of all | arriving images | 95 % half-width |")
    print("|---|---|---|---|---|---|")
    for name in options.backbones:
        for fit in FITS.values():
            vectors, new = (embed(name, fit, photos) for photos in (known, arriving))
            answers = labels[fit_head(vectors, numbers).predict(new).argmax(axis=1)]
            found = (answers == arriving.labels).mean()
            measured = [cross_fit(vectors[:MAX_IMAGES], numbers[:MAX_IMAGES]), cross_fit(vectors, numbers), found]
            width = 1.96 * np.sqrt(found * (1 - found) / len(answers))
            cells = " | ".join(f"{each:.3f}" for each in (*measured, width))
            print(f"| {name} | {fit.name} | {cells} |", flush=True)


def read_photos(folder: Path) -> Photos:
    """Reads a training folder; of equal files the first counts."""
    rows = list_training_files(str(folder)).labelled.select(["path", "label"]).to_pylist()
    found: dict[bytes, tuple[bytes, str]] = {}
    for row in rows:
        content = (folder / row["path"]).read_bytes()
        found.setdefault(hashlib.sha256(content).digest(), (content, row["label"]))
    contents, labels = zip(*(found[digest] for digest in sorted(found)), strict=True)
    return Photos(list(contents), np.array(labels))


def embed(name: str, fit: Fit, photos: Photos) -> np.ndarray:
    """Embeds images by a network in fp32; returns unit vectors, float64 `[n, d]`."""
    with tempfile.TemporaryDirectory() as folder:
        backbone = open_backbone(export_backbone(open_pretrained(name), Path(folder), fit))
        compute = load_backbone(backbone.path)
    parts = []
    for start in range(0, len(photos.contents), BATCH):
        batch = photos.contents[start : start + BATCH]
        parts.append(compute(np.stack([decode(content, backbone.size, fit).pixels for content in batch])))
    return normalise(np.concatenate(parts)).astype(np.float64)


if __name__ == "__main__":
    main()
