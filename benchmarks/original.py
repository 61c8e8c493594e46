"""The original: Keras ResNet50 in a pandas UDF over iterators of batches, its 7 x 7 x 2,048 values flattened.

It follows the blog post and its notebook with three changes: batches of 64 rows instead of 1,024, whose tensors would
not fit into memory; Keras 3; Parquet instead of Delta. Weights are random unless a file is given; speed is the same.
"""

import argparse
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from pyspark.sql.functions import PandasUDFType, pandas_udf

from resources.spark.session import SparkResource


def main() -> None:
    """Embeds a folder into a folder of Parquet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    spark = SparkResource(
        master=f"local[{options.cores}]", spark_config={"spark.sql.execution.arrow.maxRecordsPerBatch": 64}
    ).spark_session
    weights = spark.sparkContext.broadcast(_build(options.weights).get_weights())

    def featurize_iterator(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        from keras.applications import ResNet50
        from keras.applications.resnet50 import preprocess_input
        from keras.utils import img_to_array

        model = ResNet50(include_top=False, weights=None, input_shape=(224, 224, 3))
        model.set_weights(weights.value)

        def preprocess(content: bytes) -> np.ndarray:
            return preprocess_input(img_to_array(Image.open(io.BytesIO(content)).resize([224, 224])))

        for contents in batches:
            activations = model.predict(np.stack([preprocess(content) for content in contents]), verbose=0)
            yield pd.Series([activation.flatten() for activation in activations])

    featurize = pandas_udf(featurize_iterator, "array<float>", PandasUDFType.SCALAR_ITER)
    images = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(str(options.folder))
    images.select("path", featurize("content").alias("features")).write.parquet(str(options.out))
    spark.stop()
    print(json.dumps({"features_bytes": sum(file.stat().st_size for file in options.out.glob("*.parquet"))}))


def _build(weights: Path | None) -> Any:
    from keras import Model
    from keras.applications import ResNet50

    if weights is None:
        return ResNet50(include_top=False, weights=None, input_shape=(224, 224, 3))
    whole = ResNet50(weights=None)
    whole.load_weights(weights)
    return Model(whole.input, whole.get_layer("conv5_block3_out").output)


if __name__ == "__main__":
    main()
