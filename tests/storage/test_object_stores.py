"""Object stores: URIs are opened with the settings of the environment, and a URI with a key is refused."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from pyarrow import fs
from pyspark.sql import SparkSession

from pipeline.storage.files import open_folder
from pipeline.storage.object_stores import StoreError, storage_options
from pipeline.storage.spark_paths import spark_reads, spark_uri

SECRET = "bWFkZSB1cA"


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://somebody:{SECRET}@bucket/landing",
        f"s3://{SECRET}@bucket/landing",
        f"s3://bucket/landing?secret_key={SECRET}",
        f"abfss://container:{SECRET}@account.dfs.core.windows.net/landing",
        f"az://container/landing?sig={SECRET}",
    ],
)
def test_a_uri_with_a_key_is_refused_without_repeating_the_key(uri: str) -> None:
    with pytest.raises(StoreError, match=r"AWS_\*, AZURE_\*") as caught:
        open_folder(uri)
    assert SECRET not in str(caught.value)


def test_the_endpoint_in_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    filesystem, path = open_folder("s3://bucket/landing/days/")
    assert isinstance(filesystem, fs.S3FileSystem)
    assert (filesystem.region, path) == ("eu-west-3", "bucket/landing/days")


@pytest.mark.parametrize(
    "uri", ["abfss://c@account.dfs.core.windows.net/landing", "abfs://c/landing", "az://c/landing"]
)
def test_a_container_uri_may_omit_the_account(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "bWFkZSB1cA==")
    filesystem, path = open_folder(uri)
    assert (filesystem.type_name, path) == ("abfs", "c/landing")


def test_a_missing_account_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreError, match="set AZURE_STORAGE_ACCOUNT_NAME"):
        open_folder("az://container/landing")


def test_delta_gets_the_variables_of_the_vendors_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SOME_SECRET", SECRET)
    options = storage_options("s3://bucket/lake")
    assert options["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert options["AWS_ALLOW_HTTP"] == "true"
    assert SECRET not in options.values()
    assert storage_options("/a/folder") is None


@pytest.fixture
def refusing() -> Iterator[str]:
    """The endpoint of a store that refuses every request."""

    class Refusal(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        do_GET = do_HEAD

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/account"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("variable", ["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"])
@pytest.mark.parametrize("mark", ["", "?"])
def test_a_signature_is_used_and_never_repeated(
    variable: str, mark: str, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signature = "sv=2020-08-04&sp=rl&sig=hush%2Fhush%3D"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", refusing)
    monkeypatch.setenv(variable, f"{mark}{signature}")
    options = storage_options("abfss://c@account.dfs.core.windows.net/lake")
    assert options["AZURE_STORAGE_SAS_TOKEN"] == signature
    filesystem, path = open_folder("abfss://c@account.dfs.core.windows.net/lake")
    with pytest.raises(OSError, match=r"127\.0\.0\.1:\d+/account/c/lake/none\?…") as caught:
        filesystem.open_input_stream(f"{path}/none")
    assert "hush" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert filesystem == open_folder("az://c/lake")[0]


@pytest.mark.parametrize("other", ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"])
def test_a_signature_beside_another_credential_is_refused_by_name(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """delta-rs would take the other one."""
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", f"sig={SECRET}")
    monkeypatch.setenv(other, SECRET)
    uri = "abfss://c@account.dfs.core.windows.net/lake"
    for refuse in (open_folder, storage_options):
        with pytest.raises(StoreError, match=f"AZURE_STORAGE_SAS_TOKEN and {other} are both set: unset one") as caught:
            refuse(uri)
        assert SECRET not in str(caught.value)
    assert storage_options("s3://bucket/lake")


def test_delta_asks_for_tokens_where_the_host_says_and_sends_no_images_without_tls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:42356/msi/token")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "https://127.0.0.1:1/account")
    options = storage_options("abfss://c@account.dfs.core.windows.net/lake")
    assert options["IDENTITY_ENDPOINT"] == "http://127.0.0.1:42356/msi/token"
    assert "AZURE_ALLOW_HTTP" not in options


def test_spark_without_jars_reads_folders_but_no_object_stores(spark: SparkSession) -> None:
    assert spark_reads(spark, "/a/folder")
    assert not spark_reads(spark, "s3://bucket/lake")
    assert not spark_reads(spark, "abfss://c@account.dfs.core.windows.net/lake")
    assert spark_uri("s3://bucket/lake") == "s3a://bucket/lake"
