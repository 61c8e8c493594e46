"""A forgotten image leaves no row of its own and no mention in others; all else stays as it was."""

import pyarrow as pa

from pipeline.images.forgetting import forget_image, has_image

GONE, OTHER, THIRD = ("a" * 64, "b" * 64, "c" * 64)


def test_rows_of_the_image_go_and_rows_without_an_id_stay() -> None:
    rows = pa.table({"image_id": [GONE, OTHER, None, GONE], "label": ["cat", GONE[:8], None, "dog"]})
    assert has_image(rows, GONE)
    left = forget_image(rows, GONE)
    assert left.to_pylist() == [{"image_id": OTHER, "label": GONE[:8]}, {"image_id": None, "label": None}]
    assert not has_image(left, GONE)
    assert left.schema == rows.schema


def test_pairs_with_the_image_go_whichever_it_is() -> None:
    pairs = pa.table({"image_id": [GONE, OTHER, OTHER], "near_duplicate_id": [OTHER, GONE, THIRD]})
    assert forget_image(pairs, GONE).to_pylist() == [{"image_id": OTHER, "near_duplicate_id": THIRD}]


def test_another_image_that_names_it_gets_the_heir_or_null() -> None:
    rows = pa.table({"image_id": [OTHER, THIRD], "group": [GONE, None], "content": [b"x", GONE.encode()]})
    assert forget_image(rows, GONE)["group"].to_pylist() == [None, None]
    assert forget_image(rows, GONE, OTHER)["group"].to_pylist() == [OTHER, None]
    assert forget_image(rows, GONE)["content"].to_pylist() == [b"x", GONE.encode()], "bytes are those of another image"


def test_examples_in_lists_go() -> None:
    example = pa.struct({"image_id": pa.string(), "day_share": pa.float64()})
    schema = pa.schema(
        {
            "day": pa.string(),
            "examples": pa.list_(example),
            "ids": pa.list_(pa.string()),
            "odds": pa.list_(pa.float32()),
        }
    )
    rows = pa.Table.from_pylist(
        [
            {
                "day": "2026-11-20",
                "examples": [{"image_id": OTHER, "day_share": 0.5}, {"image_id": GONE, "day_share": 1.0}],
                "ids": [GONE, THIRD],
                "odds": [1.0],
            },
            {"day": "2026-11-21", "examples": None, "ids": [], "odds": None},
        ],
        schema,
    )
    assert has_image(rows, GONE)
    first, second = forget_image(rows, GONE).to_pylist()
    assert first["examples"] == [{"image_id": OTHER, "day_share": 0.5}]
    assert (first["ids"], first["odds"]) == ([THIRD], [1.0])
    assert second == rows.to_pylist()[1]


def test_rows_that_do_not_name_it_stay_as_they_are() -> None:
    rows = pa.table(
        {"image_id": [OTHER], "probabilities": pa.array([[("a", 1.0)]], pa.map_(pa.string(), pa.float64()))}
    )
    assert not has_image(rows, GONE)
    assert forget_image(rows, GONE) == rows
