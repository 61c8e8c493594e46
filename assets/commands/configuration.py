"""The command `make docs-configuration`: writes docs/configuration.md from the declaration of the settings."""

from pathlib import Path
from typing import Final

from resources.setting_errors import RENAMED, variable_of
from resources.setting_types import describe_bounds, format_default
from resources.settings import Settings

PAGE: Final = Path(__file__).parents[2] / "docs" / "configuration.md"
INTRODUCTION: Final = """\
# Configuration

<!-- Generated from resources/settings.py by `make docs-configuration`. Do not edit. -->

Set a value as an environment variable, or under its name in a file `daylight.yaml` beside `dagster.yaml`. The
environment wins. An empty value counts as unset. Relative paths start from the working directory.

```yaml
# daylight.yaml
landing: s3://bucket/landing
lake: /data/lake
max_rejected_share: 0.1
```

An unknown name or a value out of bounds stops Daylight with one sentence that names the setting and the cure. Spark's
own settings go into `spark.yaml` ([operations.md](operations.md)); credentials of object stores into the variables of
their vendors ([stores.md](stores.md)).
"""


def main() -> None:
    """Writes the page."""
    PAGE.write_text(write_configuration(), encoding="utf-8")


def write_configuration() -> str:
    """Writes the page as Markdown: every setting with its default, its bounds and its description."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = f"`{format_default(field)}`" if format_default(field) else ""
        rows.append([_variable(name), f"`{name}`", default, describe_bounds(field), field.description or ""])
    settings = _table(["variable", "in daylight.yaml", "default", "accepts", "meaning"], rows)
    renamed = _table(["former name", "name"], [[_variable(old), _variable(new)] for old, new in RENAMED.items()])
    return f"{INTRODUCTION}\n{settings}\n\nRenamed settings:\n\n{renamed}\n"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _variable(name: str) -> str:
    return f"`{variable_of(name)}`"


if __name__ == "__main__":
    main()
