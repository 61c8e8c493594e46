"""Errors of settings: what is wrong with a name or a value, in one sentence with the cure."""

import difflib
import os
from collections.abc import Callable, Mapping
from typing import Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from resources.setting_types import describe_bounds, format_default
from resources.settings_file import FILE_NAME

PREFIX: Final = "DAYLIGHT_"
RENAMED: Final = {"audit_least": "audit_min", "audit_most": "audit_max", "keep_pictures_days": "keep_images_days"}


def variable_of(name: str) -> str:
    """The variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def explain(error: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    """Explains an error of pydantic about one of these settings."""
    if not error["loc"]:
        return str(error["ctx"]["error"])
    name = str(error["loc"][0])
    key = variable_of(name) if os.environ.get(variable_of(name)) else f"{name} in {FILE_NAME}"
    if error["type"] == "extra_forbidden":
        return explain_unknown(key, name, lambda known: known, fields)
    if error["type"] == "value_error":
        return f"{key} cannot be used: {error['ctx']['error']}"
    field = fields[name]
    if field.annotation is SecretStr:
        return f"{key} cannot be used: write one text"
    bounds = describe_bounds(field)
    if get_args(field.annotation):
        return f"{key} is {error['input']!r:.80}; it can be {bounds}"
    example = format_default(field)
    return f"{key} is {error['input']!r:.80}; write {bounds or 'one text'}{f' such as {example}' if example else ''}"


def explain_unknown(key: str, name: str, spell: Callable[[str], str], fields: Mapping[str, FieldInfo]) -> str:
    """Explains that there is no such setting; `spell` writes the name of one as the user would there."""
    name = name.upper().removeprefix(PREFIX).lower()
    if name in RENAMED:
        return f"{key} is now called {spell(RENAMED[name])}: rename it"
    close = difflib.get_close_matches(name, fields, n=1)
    cure = f"did you mean {spell(close[0])}?" if close else "docs/configuration.md lists all settings"
    return f"{key} is not a setting: {cure}"
