"""Object stores: file systems for URIs. Endpoints and keys come only from the environment.

The variables are those of the vendors' own tools and of delta-rs: `AWS_*`, `AZURE_*` and `GOOGLE_*`. Driver and
executors each read their own environment, so no key travels with a job.
"""

import os
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from pyarrow import fs

from pipeline.storage.signed_store import open_signed_store

AZURE_SCHEMES: Final = ("abfs", "abfss", "az")
VARIABLES: Final = ("AWS_", "AZURE_", "GOOGLE_")
ACCOUNT_KEY: Final = "AZURE_STORAGE_ACCOUNT_KEY"
SIGNATURES: Final = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")  # of Azure's tools, and of delta-rs
STRONGER: Final = (ACCOUNT_KEY, "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE")  # delta-rs takes them first
IDENTITY_ENDPOINT: Final = "IDENTITY_ENDPOINT"  # set by Azure's App Service, Functions and Container Apps


class StoreError(ValueError):
    """An unusable URI; the text gives the remedy and never repeats a key."""


def is_uri(folder: str) -> bool:
    """Whether a folder is in an object store."""
    return "://" in folder


def check_uri(uri: str) -> None:
    """Refuses URIs without a bucket, and those with keys or settings, which would reach logs and tables.

    Raises:
        StoreError: if the URI is one of these; the text does not repeat a key.
    """
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise StoreError("it is not a URI: write one such as s3://bucket/path") from error
    is_container = parts.scheme in AZURE_SCHEMES
    has_key = parts.password or (not is_container and "@" in uri)  # a slash in a key ends the part before the path
    if has_key or parts.query or parts.fragment:
        names = ", ".join(f"{name}*" for name in VARIABLES)
        raise StoreError(
            f"the URI of {parts.scheme}://{parts.hostname or ''} contains a key or a setting: write only the bucket and"
            f" the path, and set the variables {names} for the rest (docs/stores.md)"
        )
    if not parts.scheme or not (parts.netloc or (parts.scheme == "file" and parts.path.strip("/"))):
        raise StoreError(f"{uri!r:.60} has no bucket: write a URI such as s3://bucket/path")


def open_store(uri: str) -> tuple[fs.FileSystem, str]:
    """Opens a URI as file system and path.

    Raises:
        StoreError: if the URI contains a key or names no Azure account; or a signature is set beside another
            credential.
    """
    check_uri(uri)
    parts = urlsplit(uri)
    if parts.scheme in AZURE_SCHEMES:
        return _open_azure(parts)
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", ""))
    if parts.scheme == "s3" and endpoint.netloc:
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        filesystem = fs.S3FileSystem(endpoint_override=endpoint.netloc, scheme=endpoint.scheme, region=region)
        return filesystem, f"{parts.netloc}{parts.path}".rstrip("/")
    filesystem, root = fs.FileSystem.from_uri(uri)
    return filesystem, root


def storage_options(folder: str) -> dict[str, str] | None:
    """Options of a folder for delta-rs: in an object store all vendors' variables.

    Raises:
        StoreError: if the folder is in Azure, and a signature is set beside another credential.
    """
    if not is_uri(folder):
        return None
    settings = os.environ.items()
    options = {name: text for name, text in settings if name.startswith(VARIABLES) and text}
    if any(value.startswith("http://") for name, value in options.items() if "ENDPOINT" in name):
        options |= {"AWS_ALLOW_HTTP": "true", "AZURE_ALLOW_HTTP": "true"}
    if urlsplit(folder).scheme in AZURE_SCHEMES:
        if signature := _read_signature():
            options = {name: text for name, text in options.items() if name not in SIGNATURES}
            options[SIGNATURES[0]] = signature
        if endpoint := os.environ.get(IDENTITY_ENDPOINT):
            options[IDENTITY_ENDPOINT] = endpoint  # delta-rs finds the header in the environment, but not the endpoint
    return options


def _open_azure(parts: SplitResult) -> tuple[fs.FileSystem, str]:
    """Opens `abfss://<container>@<account>.dfs.core.windows.net/<path>` or `az://<container>/<path>`.

    With a shared access signature or an account key, else as an application, the machine or the user.
    """
    container, _, host = parts.netloc.rpartition("@")
    account = host.partition(".")[0] if container else os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not account:
        raise StoreError(f"{parts.geturl()} names no storage account: set AZURE_STORAGE_ACCOUNT_NAME")
    endpoint = urlsplit(os.environ.get("AZURE_STORAGE_ENDPOINT", ""))
    options: dict[str, Any] = {}
    if endpoint.netloc:
        options |= {f"{service}_storage_authority": endpoint.netloc for service in ("blob", "dfs")}
        options |= {f"{service}_storage_scheme": endpoint.scheme for service in ("blob", "dfs")}
    path = f"{container or host}{parts.path}".rstrip("/")
    if signature := _read_signature():
        return open_signed_store(account, signature, **options), path
    return fs.AzureFileSystem(account, account_key=os.environ.get(ACCOUNT_KEY) or None, **options), path


def _read_signature() -> str:
    """The shared access signature of the environment, without its question mark; empty if there is none."""
    name = next(filter(os.environ.get, SIGNATURES), None)
    if name is None:
        return ""
    if other := next(filter(os.environ.get, STRONGER), None):
        raise StoreError(f"{name} and {other} are both set: unset one of them (docs/stores.md)")
    return os.environ[name].removeprefix("?")
