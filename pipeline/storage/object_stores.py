"""Object stores: from a URI to a file system, with endpoints and keys from the environment and from nowhere else.

The variables are those of the vendors' own tools, which delta-rs knows too: `AWS_*`, `AZURE_*` and `GOOGLE_*`. Drivers
and executors each ask their own environment, so that no key travels with a job.
"""

import os
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from py4j.protocol import Py4JJavaError
from pyarrow import fs
from pyspark.sql import SparkSession

AZURE_SCHEMES: Final = ("abfs", "abfss", "az")
VARIABLES: Final = ("AWS_", "AZURE_", "GOOGLE_")


class StoreError(ValueError):
    """A URI that cannot be used; the text says what to write instead, and repeats no key."""


def is_uri(folder: str) -> bool:
    """Whether a folder is one of an object store."""
    return "://" in folder


def check_uri(uri: str) -> None:
    """Refuses URIs with keys or settings in them, which would reach logs and tables.

    Raises:
        StoreError: in words, and without the key.
    """
    parts = urlsplit(uri)
    is_container = parts.scheme in AZURE_SCHEMES
    if parts.password or parts.query or parts.fragment or (parts.username and not is_container):
        names = ", ".join(f"{name}*" for name in VARIABLES)
        raise StoreError(
            f"the URI of {parts.scheme}://{parts.hostname or ''} has a key or a setting in it: write the bucket and the"
            f" path alone, and let the variables {names} say the rest (docs/stores.md)"
        )


def open_store(uri: str) -> tuple[fs.FileSystem, str]:
    """Opens a URI as file system and path.

    Raises:
        StoreError: where the URI holds a key, or Azure's account is not said.
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
    """What delta-rs must be told of a folder: of an object store, all variables of the vendors, but no signature."""
    if not is_uri(folder):
        return None
    options = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(VARIABLES) and "_SAS_" not in name and value
    }
    if any(value.startswith("http://") for name, value in options.items() if "ENDPOINT" in name):
        options |= {"AWS_ALLOW_HTTP": "true", "AZURE_ALLOW_HTTP": "true"}
    return options


def spark_uri(uri: str) -> str:
    """The URI as Hadoop writes it."""
    return uri.replace("s3://", "s3a://", 1) if uri.startswith("s3://") else uri


def spark_reads(spark: SparkSession, folder: str) -> bool:
    """Whether Spark itself can read there: of an object store, whether it has the connector's jars."""
    if not is_uri(folder):
        return True
    jvm = getattr(spark, "_jvm", None)
    if jvm is None:
        return False  # Spark Connect does not say
    scheme = urlsplit(spark_uri(folder)).scheme
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    try:
        jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass(scheme, configuration)
    except Py4JJavaError:
        return False
    return True


def _open_azure(parts: SplitResult) -> tuple[fs.FileSystem, str]:
    """Opens `abfss://<container>@<account>.dfs.core.windows.net/<path>` or `az://<container>/<path>`.

    By an account's key, or by what Azure's default credential finds; by no shared access signature, since errors of
    `pyarrow.fs` repeat it.
    """
    container, _, host = parts.netloc.rpartition("@")
    account = host.partition(".")[0] if container else os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not account:
        raise StoreError(f"{parts.geturl()} does not say whose container it is: set AZURE_STORAGE_ACCOUNT_NAME")
    endpoint = urlsplit(os.environ.get("AZURE_STORAGE_ENDPOINT", ""))
    options: dict[str, Any] = {"account_key": os.environ.get("AZURE_STORAGE_ACCOUNT_KEY") or None}
    if endpoint.netloc:
        options |= {f"{service}_storage_authority": endpoint.netloc for service in ("blob", "dfs")}
        options |= {f"{service}_storage_scheme": endpoint.scheme for service in ("blob", "dfs")}
    return fs.AzureFileSystem(account, **options), f"{container or host}{parts.path}".rstrip("/")
