"""The scaffolder of `ImageClassifier`: what `dg scaffold defs` writes, ready to run but for three lines."""

from typing import Final

import dagster as dg

TEMPLATE: Final = """\
type: {type}

attributes:
  name: {name}
  # Labelled images: <training>/<label>/<file>. Without this line: {name}/training in the landing zone.
  # training: landing/{name}/training
  # Or the labels of other images: a CSV file with path and label, or new names for the labels of folders.
  # manifest: landing/{name}.csv
  # Several labels an image, or none: the CSV file has path and labels, such as dark;torn.
  # multi_label: true
  # labels: {{orange: citrus, satsumas: citrus}}
  # What a candidate must reach, and the share of answers that are right. These are the defaults.
  # accuracy_floor: 0.8
  # target_precision: 0.95
"""


class ImageClassifierScaffolder(dg.Scaffolder):
    """Writes `defs.yaml` with the name of its folder; other attributes are comments."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Writes the file."""
        text = TEMPLATE.format(type=request.type_name, name=request.target_path.name)
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")
