"""Documents: files for people that the lake stores beside its tables, one per day: review forms and reports."""

from dataclasses import dataclass

from resources.lake.model_files import ModelFiles


@dataclass(frozen=True)
class Documents:
    """The documents of a lake.

    Attributes:
        root: folder or URI of the lake.
    """

    root: str

    def write_form(self, day: str, text: str) -> str:
        """Replaces the review form of a day atomically and returns its path or URI."""
        return self._write("review_forms", f"{day}.csv", text)

    def write_report(self, day: str, page: str) -> str:
        """Replaces the report of a day atomically and returns its path or URI."""
        return self._write("reports", f"{day}.html", page)

    def _write(self, folder: str, name: str, text: str) -> str:
        files = ModelFiles(f"{self.root}/{folder}")
        files.write_note(files.folder / name, text)
        return f"{files.root}/{name}"
