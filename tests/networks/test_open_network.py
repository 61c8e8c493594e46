"""The user's own network: each kind of file becomes a backbone with its framework's features, or names the reason."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.networks.graph import wrap_graph
from pipeline.networks.keras_runtime import import_keras
from pipeline.networks.known_photos import decode_known_photos, load_known_photos
from pipeline.networks.own.converted import measure_conversion
from pipeline.networks.own.graph_cut import cut_graph
from pipeline.networks.own.keras_file import convert_keras_file
from pipeline.networks.own.open_network import open_own_network
from pipeline.networks.pixel_scaling import CAFFE, IMAGENET, RAW, SYMMETRIC, UNIT, PixelScaling
from pipeline.networks.pretrained import Pretrained, PretrainedError

if TYPE_CHECKING:
    import keras

SIZE = 32
CELLS = 8


@pytest.fixture(scope="module")
def network() -> "keras.Model":
    """A small classifier of seven classes with random weights, whose features differ from photo to photo."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu", name="first")(pixels)
    x = keras.layers.Conv2D(24, 3, activation="relu", name="second")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    classes = keras.layers.Dense(7, activation="softmax", name="classes")(keras.layers.Dropout(0.2, name="dropout")(x))
    return keras.Model(pixels, classes, name="small")


@pytest.fixture(scope="module")
def features(network: "keras.Model") -> np.ndarray:
    """Keras's input of the last layer for the known photos, with pixels from -1 to 1."""
    embedder = import_keras().Model(network.input, network.get_layer("mean").output)
    return np.asarray(embedder(SYMMETRIC.apply(decode_known_photos(SIZE)), training=False))


@pytest.fixture(scope="module")
def files(network: "keras.Model", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network in each kind of file."""
    import tensorflow as tf
    import tf2onnx

    folder = tmp_path_factory.mktemp("networks")
    network.save(folder / "small.keras")
    tf.saved_model.save(network, str(folder / "small"))
    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="pixels")
    tf2onnx.convert.from_keras(network, [spec], opset=13, output_path=str(folder / "small.onnx"))
    photos = SYMMETRIC.apply(decode_known_photos(SIZE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        (folder / "small.tflite").write_bytes(converter.convert())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([photo[None]] for photo in photos)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
        (folder / "bytes.tflite").write_bytes(converter.convert())
    return folder


def embed_as_exported(pretrained: Pretrained, pixels: np.ndarray) -> np.ndarray:
    """The features that the exported graph gives."""
    graph = wrap_graph(pretrained.convert(), pretrained.size, pretrained.scaling)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    features: np.ndarray = session.run(None, {"pixels": pixels})[0]
    return features


def make_model(nodes: list[onnx.NodeProto], shape: list[int | str], **constants: np.ndarray) -> onnx.ModelProto:
    """A graph from `pixels` of a shape to what its last node gives."""
    graph = helper.make_graph(
        nodes,
        "user",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["n", None])],
        [numpy_helper.from_array(constant, name) for name, constant in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8, producer_name="pytorch", producer_version="2.9")


def make_photo_classifier(scaling: PixelScaling) -> onnx.ModelProto:
    """A classifier of 1000 classes that recognises the known photos with one pixel scaling only."""
    planes = scaling.apply(decode_known_photos(SIZE)).transpose(0, 3, 1, 2)
    means = planes.reshape(10, 3, CELLS, SIZE // CELLS, CELLS, SIZE // CELLS).mean(axis=(3, 5)).reshape(10, -1)
    classes = np.zeros((10, 1000), np.float32)
    for row, photo in enumerate(load_known_photos()):
        classes[row, min(photo.accepted)] = 10
    nodes = [
        helper.make_node("AveragePool", ["pixels"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node("Gemm", ["flat", "photos", "lengths"], ["product"], alpha=2.0, beta=-1.0, transB=1),
        helper.make_node("ReduceSumSquare", ["flat"], ["length"], axes=[1]),
        helper.make_node("Sub", ["product", "length"], ["nearness"]),
        helper.make_node("Sigmoid", ["nearness"], ["nearest"]),
        helper.make_node("MatMul", ["nearest", "classes"], ["logits"]),
    ]
    constants = {"photos": means, "lengths": (means**2).sum(axis=1), "classes": classes}
    return make_model(nodes, ["n", 3, SIZE, SIZE], **constants)


def save(model: onnx.ModelProto, folder: Path, name: str = "user.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("name", ["small.keras", "small", "small.tflite", "small.onnx"])
def test_every_kind_of_file_gives_the_features_of_its_framework(name: str, files: Path, features: np.ndarray) -> None:
    pretrained = open_own_network(files / name)
    pixels = decode_known_photos(SIZE)
    assert (pretrained.name, pretrained.size, pretrained.scaling) == (name, SIZE, SYMMETRIC)
    np.testing.assert_allclose(pretrained.embed(pixels), features, atol=1e-5)
    np.testing.assert_allclose(embed_as_exported(pretrained, pixels), features, atol=1e-5)
    assert features.std(axis=0).mean() > 1e-2  # or equality would prove nothing
    provenance = pretrained.provenance
    assert provenance["scaling"] == "symmetric (assumed: set DAYLIGHT_PIXEL_SCALING where it is another)"
    assert len(provenance["weights_sha256"]) == 64
    assert provenance["producer"].startswith(
        {"small.onnx": "tf2onnx 1", "small.keras": "Keras 3"}.get(name, "TensorFlow")
    )
    assert name == "small.onnx" or float(provenance["conversion_difference"]) < 1e-5


def test_a_quantised_file_gives_nearly_the_features_of_its_network(files: Path, features: np.ndarray) -> None:
    pretrained = open_own_network(files / "bytes.tflite")
    pixels = decode_known_photos(SIZE)
    actual = embed_as_exported(pretrained, pixels)
    assert (pretrained.scaling, pretrained.provenance["scaling"]) == (RAW, "raw (it takes uint8)")
    np.testing.assert_array_equal(actual, pretrained.embed(pixels))
    np.testing.assert_allclose(actual, features, atol=0.05 * features.max())


def test_another_process_makes_the_same_graph_and_prints_nothing(files: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from pipeline.networks.own.open_network import open_own_network
        for name in ("bytes.tflite", "small.keras"):
            pretrained = open_own_network(Path(sys.argv[1]) / name)
            content = pretrained.convert().SerializeToString(deterministic=True)
            (Path(sys.argv[1]) / f"{name}.bare").write_bytes(content + repr(pretrained.provenance).encode())
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(files)],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    for name in ("bytes.tflite", "small.keras"):
        pretrained = open_own_network(files / name)
        content = pretrained.convert().SerializeToString(deterministic=True)
        assert (files / f"{name}.bare").read_bytes() == content + repr(pretrained.provenance).encode()


def test_a_named_layer_of_a_keras_file_gives_the_features_pooled(files: Path, network: "keras.Model") -> None:
    pretrained = open_own_network(files / "small.keras", "first")
    pixels = decode_known_photos(SIZE)
    embedder = import_keras().Model(network.input, network.get_layer("first").output)
    expected = np.asarray(embedder(SYMMETRIC.apply(pixels), training=False)).mean(axis=(1, 2))
    np.testing.assert_allclose(embed_as_exported(pretrained, pixels), expected, atol=1e-5)
    assert pretrained.provenance["features_tensor"] == "first"


def test_a_keras_file_that_ends_in_a_convolution_is_cut_in_its_graph(tmp_path: Path) -> None:
    keras = import_keras()
    layers = keras.layers
    trunk = [layers.Conv2D(24, 5, strides=4, activation="relu"), layers.GlobalAveragePooling2D(keepdims=True)]
    top = [layers.Conv2D(7, 1), layers.Flatten(), layers.Activation("softmax")]
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *trunk, *top])
    network.save(tmp_path / "convolved.keras")
    pretrained = open_own_network(tmp_path / "convolved.keras")
    pixels = decode_known_photos(SIZE)
    expected = np.asarray(keras.Sequential(trunk)(SYMMETRIC.apply(pixels))).reshape(10, 24)
    np.testing.assert_allclose(embed_as_exported(pretrained, pixels), expected, atol=1e-5)


def test_a_keras_file_for_one_image_gets_a_free_batch(tmp_path: Path, network: "keras.Model") -> None:
    keras = import_keras()
    pixels = keras.Input(batch_shape=(1, SIZE, SIZE, 3))
    keras.Model(pixels, keras.layers.Flatten()(network.get_layer("first")(pixels))).save(tmp_path / "one.keras")
    pretrained = open_own_network(tmp_path / "one.keras")
    photos = decode_known_photos(SIZE)
    expected = np.asarray(network.get_layer("first")(SYMMETRIC.apply(photos))).reshape(10, -1)
    np.testing.assert_allclose(pretrained.embed(photos), expected, atol=1e-5)
    np.testing.assert_allclose(embed_as_exported(pretrained, photos), expected, atol=1e-5)


def test_the_first_layer_or_name_of_a_keras_network_determines_the_scaling(tmp_path: Path) -> None:
    keras = import_keras()
    layers = keras.layers
    pixels = keras.Input((None, None, 3))
    for name, first, scaling in (
        ("resnet50", layers.Identity(), CAFFE),
        ("mobilenetv2_1.00_224", layers.Identity(), SYMMETRIC),
        ("mine", layers.Rescaling(1 / 255), RAW),
        ("mine", layers.Identity(), SYMMETRIC),
    ):
        keras.Model(pixels, layers.Conv2D(4, 3)(first(pixels)), name=name).save(tmp_path / "named.keras")
        pretrained = open_own_network(tmp_path / "named.keras")
        assert (pretrained.scaling, pretrained.size) == (scaling, 224)
        assert pretrained.provenance["picture_size"] == "224 (it declares none)"


@pytest.mark.parametrize("scaling", [IMAGENET, SYMMETRIC, UNIT, CAFFE, RAW], ids=lambda scaling: scaling.name)
def test_the_known_photos_reveal_the_scaling_of_an_imagenet_classifier(scaling: PixelScaling, tmp_path: Path) -> None:
    pretrained = open_own_network(save(make_photo_classifier(scaling), tmp_path))
    assert pretrained.provenance["scaling"] == f"{scaling.name} (names 10 of 10 known photos)"
    assert pretrained.last_layer is not None
    assert pretrained.last_layer.kernel.shape == (10, 1000)
    assert pretrained.provenance["producer"] == "pytorch 2.9"
    assert pretrained.provenance["features_tensor"] == "nearest"


def test_a_thousand_other_classes_reveal_nothing(tmp_path: Path) -> None:
    model = make_photo_classifier(IMAGENET)
    classes = next(each for each in model.graph.initializer if each.name == "classes")
    classes.CopyFrom(numpy_helper.from_array(np.roll(numpy_helper.to_array(classes), 1, axis=1), "classes"))
    pretrained = open_own_network(save(model, tmp_path))
    assert pretrained.last_layer is None
    assert pretrained.provenance["scaling"].startswith("imagenet (assumed")


def test_the_configured_scaling_wins(files: Path, tmp_path: Path) -> None:
    known = open_own_network(save(make_photo_classifier(SYMMETRIC), tmp_path), scaling_name="caffe")
    assert known.scaling == CAFFE
    assert known.provenance["scaling"].startswith("caffe (as set; names ")
    assert open_own_network(files / "small.onnx", scaling_name="unit").provenance["scaling"] == "unit (as set)"


def test_a_graph_of_another_network_fails_the_conversion_check(files: Path) -> None:
    from dataclasses import replace

    converted = convert_keras_file(files / "small.keras")
    graph_input = cut_graph(converted.graph, converted.output).input
    photos = SYMMETRIC.apply(decode_known_photos(SIZE)[:3])
    assert measure_conversion(converted, graph_input, photos) < 1e-5
    wrong = replace(converted, compute=lambda scaled: converted.compute(scaled[..., ::-1]))
    assert measure_conversion(wrong, graph_input, photos) > 1e-2


Spoil = Callable[[Path, Path], Path]


def cut_short(name: str) -> Spoil:
    def spoil(files: Path, folder: Path) -> Path:
        content = (files / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        return folder / name

    return spoil


def write(name: str, content: bytes) -> Spoil:
    def spoil(_: Path, folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return spoil


def lose_the_variables(files: Path, folder: Path) -> Path:
    (folder / "small").mkdir()
    (folder / "small" / "saved_model.pb").write_bytes((files / "small" / "saved_model.pb").read_bytes())
    return folder / "small"


def keep_weights_in(place: str) -> Spoil:
    def spoil(_: Path, folder: Path) -> Path:
        model = make_photo_classifier(IMAGENET)
        onnx.save(model, folder / "large.onnx", save_as_external_data=True, location="weights")
        model = onnx.load(folder / "large.onnx", load_external_data=False)
        for weight in model.graph.initializer:
            for entry in weight.external_data:
                entry.value = place if entry.key == "location" else entry.value
        onnx.save(model, folder / "large.onnx")
        return folder / "large.onnx"

    return spoil


def link_the_weights(files: Path, folder: Path) -> Path:
    path = keep_weights_in("link")(files, folder)
    (folder / "link").symlink_to(folder / "weights")
    return path


def cut_the_weights(files: Path, folder: Path) -> Path:
    path = keep_weights_in("weights")(files, folder)
    (folder / "weights").write_bytes((folder / "weights").read_bytes()[:-9])
    return path


def with_preprocessor(text: str) -> Spoil:
    def spoil(files: Path, folder: Path) -> Path:
        (folder / "preprocessor_config.json").write_text(text)
        return save(onnx.load(files / "small.onnx"), folder)

    return spoil


def save_keras(make: Callable[[Any], "keras.Model"]) -> Spoil:
    def spoil(_: Path, folder: Path) -> Path:
        make(import_keras()).save(folder / "spoilt.keras")
        return folder / "spoilt.keras"

    return spoil


def with_code(keras: Any) -> "keras.Model":
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Lambda(lambda pixels: pixels / 255)])


def with_two_inputs(keras: Any) -> "keras.Model":
    inputs = [keras.Input((SIZE, SIZE, 3), name="left"), keras.Input((7,), name="right")]
    return keras.Model(inputs, [keras.layers.Flatten()(inputs[0]), inputs[1]])


def with_two_outputs(keras: Any) -> "keras.Model":
    pixels = keras.Input((SIZE, SIZE, 3))
    outputs = [keras.layers.Conv2D(4, 3, name=name)(pixels) for name in ("boxes", "scores")]
    return keras.Model(pixels, outputs)


def with_grey_pixels(keras: Any) -> "keras.Model":
    return keras.Sequential([keras.Input((SIZE, SIZE, 1), name="grey"), keras.layers.Conv2D(4, 3)])


REJECTED: dict[str, tuple[Spoil, str]] = {
    "a missing file": (lambda _, folder: folder / "none.onnx", r"does not exist: .*\.onnx, \.keras or \.tflite"),
    "an empty folder": (lambda _, folder: folder, r"is an empty folder, not a SavedModel: set DAYLIGHT_BACKBONE"),
    "some folder": (lambda files, _: files, r"without saved_model\.pb"),
    "another kind": (write("weights.pth", b"PK"), "is of an unsupported kind: set DAYLIGHT_BACKBONE to"),
    "half an .onnx": (cut_short("small.onnx"), "not an ONNX file, or is truncated"),
    "text as .onnx": (write("text.onnx", b"These are my weights.\n" * 9), "not an ONNX file, or is truncated"),
    "an empty .onnx": (write("empty.onnx", b""), "is an empty file: set DAYLIGHT_BACKBONE to"),
    "weights in a folder above": (keep_weights_in("../weights"), r"in another folder \('\.\./weights'\): save them"),
    "weights anywhere": (keep_weights_in("/etc/passwd"), r"in another folder \('/etc/passwd'\): save them beside it"),
    "weights behind a link": (link_the_weights, r"in another folder \('link'\): save them beside it"),
    "weights that are missing": (keep_weights_in("gone"), r"lacks the file of its weights \('gone'\): copy it"),
    "weights cut short": (cut_the_weights, "is not a valid ONNX graph"),
    "a preprocessor without numbers": (with_preprocessor("{}{"), r"with preprocessor_config\.json beside it .*correct"),
    "a preprocessor of two channels": (
        with_preprocessor('{"image_mean": [0.5, 0.5], "image_std": 1}'),
        r"with preprocessor_config\.json beside it .*2 channels instead of 3",
    ),
    "half a .keras": (cut_short("small.keras"), r"not a \.keras file, or is truncated"),
    "text as .keras": (write("text.keras", b"weights"), r"not a \.keras file, or is truncated"),
    "a .keras with code": (save_keras(with_code), r"cannot be loaded by Keras .*Lambda"),
    "a .keras of two inputs": (save_keras(with_two_inputs), r"2 inputs \(left \[\?, 32, 32, 3\], right \[\?, 7\]\)"),
    "a .keras of two outputs": (
        save_keras(with_two_outputs),
        r"2 outputs \(boxes, scores\): set DAYLIGHT_FEATURES_TENSOR",
    ),
    "a .keras for grey": (
        save_keras(with_grey_pixels),
        r"takes 1 channel \(its input grey is float32 \[\?, 32, 32, 1\]\)",
    ),
    "half a .tflite": (cut_short("small.tflite"), r"not a \.tflite file, or is truncated"),
    "text as .tflite": (write("text.tflite", b"These are my weights."), r"not a \.tflite file, or is truncated"),
    "a SavedModel without its variables": (lose_the_variables, "cannot be loaded by TensorFlow"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_an_unusable_file_is_rejected_in_one_sentence(name: str, files: Path, tmp_path: Path) -> None:
    spoil, reason = REJECTED[name]
    path = spoil(files, tmp_path)
    with pytest.raises(PretrainedError, match=reason) as caught:
        open_own_network(path)
    text = str(caught.value)
    assert text.startswith(f"{path} ")
    assert "\n" not in text
    assert len(text) < len(str(path)) + 400


def test_unknown_names_are_rejected_with_a_list_of_known_ones(files: Path) -> None:
    with pytest.raises(PretrainedError, match=r"small\.onnx .*DAYLIGHT_PIXEL_SCALING: 'vgg' .*one of raw, unit, symm"):
        open_own_network(files / "small.onnx", scaling_name="vgg")
    with pytest.raises(PretrainedError, match=r"small\.tflite computes no tensor 'pool5' .*DAYLIGHT_FEATURES_TENSOR"):
        open_own_network(files / "small.tflite", "pool5")
    with pytest.raises(PretrainedError, match=r"no layer 'pool5': .*such as second, mean, dropout, classes"):
        open_own_network(files / "small.keras", "pool5")


def test_bytes_cannot_be_scaled(files: Path) -> None:
    with pytest.raises(PretrainedError, match=r"takes uint8 .*: unset DAYLIGHT_PIXEL_SCALING"):
        open_own_network(files / "bytes.tflite", scaling_name="imagenet")
