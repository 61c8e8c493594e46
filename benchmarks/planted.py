"""Planted near-duplicates and flipped labels: how many are found among the photos of a folder, and how many others.

    python -m benchmarks.planted FOLDER GRAPH

FOLDER has the layout of a training folder. Three labels in a hundred are flipped, and 250 photos are saved again with
common changes.
"""

import io
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from pipeline.embed.backbone import Backbone, open_backbone
from pipeline.evaluation.calibration import soften_predictions
from pipeline.evaluation.label_issues import rank_labels
from pipeline.images.features import extract_features
from pipeline.images.labels import list_training_files, read_training_images
from pipeline.images.split import label_features
from pipeline.similarity.leakage_groups import connect
from pipeline.similarity.near_duplicates import find_conflicts, find_near_duplicates
from pipeline.training.classifier import predict_holdout
from pipeline.training.classifier_fit import fit_classifier
from pipeline.training.params import ClassifierParams
from resources.spark.session import SparkResource

PLANTED: Final = "planted"
"""Prefix of the names of copies."""

COUNT: Final = 250
FLIPPED_SHARE: Final = 0.03
READ_SHARE: Final = 0.06
"""Share of the ranked labels that is searched for flips."""

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def _scale(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((max(8, int(image.width * factor)), max(8, int(image.height * factor))))


def _crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Removes 5 to 15 % of both dimensions, at random edges."""
    cut = random.uniform(0.05, 0.15, 2) * image.size
    left, top = cut * random.random(2)
    return image.crop((int(left), int(top), int(image.width - cut[0] + left), int(image.height - cut[1] + top)))


def _rotate(image: Image.Image, random: np.random.Generator) -> Image.Image:
    angle = random.uniform(2, 5) * random.choice((-1, 1))
    return image.rotate(float(angle), Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))


CHANGES: Final[dict[str, Change]] = {
    "re-encoded": lambda image, _: image,
    "smaller": lambda image, random: _scale(image, random.uniform(0.5, 1)),
    "larger": lambda image, random: _scale(image, random.uniform(1, 2)),
    "cropped": _crop,
    "mirrored": lambda image, _: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "rotated": _rotate,
    "cropped and mirrored": lambda image, random: _crop(image, random).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped and scaled": lambda image, random: _scale(_crop(image, random), random.uniform(0.5, 2)),
}


def main() -> None:
    """Plants flips and near-duplicates and prints how many are found."""
    backbone, random = open_backbone(Path(sys.argv[2]).resolve()), np.random.default_rng(0)
    spark = SparkResource().spark_session
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(sys.argv[1], Path(folder, "photos")))
        _judge_flips(spark, root, backbone, random)
        _judge_near_duplicates(spark, root, backbone, random)


def _judge_near_duplicates(spark: SparkSession, root: Path, backbone: Backbone, random: np.random.Generator) -> None:
    sources = _plant(root, random)
    images = read_training_images(spark, list_training_files(str(root))).cache()
    paths = dict(images.select("image_id", "path").toPandas().itertuples(index=False))
    near_duplicates = find_near_duplicates(extract_features(images, backbone).cache(), images).cache()
    pairs = [(paths[row["image_id"]], paths[row["near_duplicate_id"]]) for row in near_duplicates.collect()]
    groups = _number_groups(pairs)
    found = {copy: source in groups and groups.get(copy) == groups[source] for copy, (source, _) in sources.items()}
    # two files of one photo in the original set count as the same source
    own = [pair for pair in pairs if not any(path in sources for path in pair)]
    related = _number_groups(own)
    origins = [[sources.get(path, (path, ""))[0] for path in pair] for pair in pairs if set(pair) & set(sources)]
    right = sum(one == other or related.get(one, one) == related.get(other, other) for one, other in origins)
    print(f"near-duplicates: recall {np.mean(list(found.values())):.3f} of {len(found)}, in groups;", end=" ")
    print(f"precision {right / max(1, len(origins)):.3f} of {len(origins)} pairs with a copy")
    for name in CHANGES:
        ours = [found[copy] for copy, (_, change) in sources.items() if change == name]
        print(f"  {name}: {sum(ours)} of {len(ours)}")
    print(f"pairs in the original set: {len(own)}; with two labels:")
    for row in find_conflicts(near_duplicates, images).collect():
        print("  " + " and ".join(paths[row[name]] for name in ("image_id", "near_duplicate_id")))


def _number_groups(pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Numbers the group of each path that is in a pair."""
    groups = connect((("picture", one), ("picture", other)) for one, other in pairs)
    return {path: number for number, group in enumerate(groups) for _, path in group}


def _plant(root: Path, random: np.random.Generator) -> dict[str, tuple[str, str]]:
    """Saves changed copies beside photos; returns the source and the change of each copy."""
    files = list_training_files(str(root)).labelled["path"].to_pylist()
    sources = {}
    for number, path in enumerate(random.choice(sorted(files), COUNT, replace=False)):
        name, change = list(CHANGES.items())[number % len(CHANGES)]
        copy = Path(path).with_name(f"{PLANTED}-{number}.jpg")
        buffer = io.BytesIO()
        change(Image.open(root / path).convert("RGB"), random).save(
            buffer, "JPEG", quality=int(random.integers(40, 96))
        )
        (root / copy).write_bytes(buffer.getvalue())
        sources[str(copy)] = (str(path), name)
    return sources


def _judge_flips(spark: SparkSession, root: Path, backbone: Backbone, random: np.random.Generator) -> None:
    files = list_training_files(str(root))
    labels = np.array(files.labelled["label"].to_pylist())
    flipped = random.choice(len(labels), round(FLIPPED_SHARE * len(labels)), replace=False)
    for number in flipped:
        labels[number] = random.choice(np.setdiff1d(labels, labels[number]))
    column = files.labelled.schema.get_field_index("label")
    files = replace(files, labelled=files.labelled.set_column(column, "label", pa.array(labels.tolist())))
    images = read_training_images(spark, files).cache()
    paths = set(np.array(files.labelled["path"].to_pylist())[flipped])
    extracted = extract_features(images, backbone).cache()
    ranked = _rank(images, extracted).toPandas().sort_values("rank")
    first = ranked.head(int(READ_SHARE * len(ranked)))
    hits = len(paths & set(first["path"]))
    print(
        f"flips: {hits} of {len(paths)}, {hits / len(paths):.2f}, within the first {len(first)} of {len(ranked)};",
        end=" ",
    )
    print(f"reasons there: {dict(Counter(first['reason']))}")


def _rank(images: DataFrame, extracted: DataFrame) -> DataFrame:
    """Ranks the labels like the asset `label_issues`."""
    features = label_features(extracted, images)
    classifier = fit_classifier(features, ClassifierParams())
    predictions = [predict_holdout(features, classifier)]
    for easiest in classifier.cross_fits[:1]:
        predictions.append(soften_predictions(easiest, classifier.calibration.temperature))
    return rank_labels(images, find_near_duplicates(extracted, images), predictions)


if __name__ == "__main__":
    main()
