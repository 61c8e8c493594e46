"""The file `daylight.yaml`: reads its settings as text. Names and bounds are checked in `settings.py`."""

import os
from pathlib import Path
from typing import Any, Final

import yaml

FILE_NAME: Final = "daylight.yaml"
UNSET: Final = ("", "~", "null")  # values that mean the default


class SettingError(ValueError):
    """A setting that cannot be used; the text gives its name, its value and the cure."""


def read_file() -> dict[str, Any]:
    """Reads `daylight.yaml`; all scalars stay text, as in the environment.

    Raises:
        SettingError: if the file cannot be read, or is not a mapping of settings.
    """
    file = Path(os.environ.get("DAGSTER_HOME") or ".", FILE_NAME)
    if not os.path.lexists(file):
        return {}
    try:
        node = yaml.compose(file.read_text(encoding="utf-8"), yaml.BaseLoader)
    except OSError as error:
        raise SettingError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingError(f"{file} is not YAML: it is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:  # its text repeats the line, which may hold a secret
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise SettingError(
            f"{file} is not YAML: {' '.join(filter(None, (error.context, error.problem)))} in line {line}"
        ) from None
    except (yaml.YAMLError, RecursionError):
        raise SettingError(f"{file} is not YAML") from None
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise SettingError(f"{file} is not a mapping: write one setting per line, such as lake: /data/lake")
    values: dict[str, Any] = {}
    for key, value in node.value:
        name = f"{key.value:.80}" if isinstance(key, yaml.ScalarNode) else "a key that is no text"
        if name in values:
            raise SettingError(f"{file} sets {name} twice: delete one of the lines")
        values[name] = (
            value.value if isinstance(value, yaml.ScalarNode) else [getattr(each, "value", "…") for each in value.value]
        )
    return {name: value for name, value in values.items() if value not in UNSET}
