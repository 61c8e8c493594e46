"""Azure without a key: each way to get a token opens the landing zone and the lake alike."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from emulators import Issuer, Store, issue_tokens, make_token, start_store

from pipeline.storage.object_stores import open_store, storage_options


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with start_store("azure-identity", tmp_path_factory.mktemp("tokens")) as store:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in store.environment.items():
                patch.setenv(name, value)
            store.make_bucket()
        yield store


@pytest.fixture
def issuer(store: Store) -> Iterator[Issuer]:
    with issue_tokens(store.log.parent) as issuer:
        yield issuer


@pytest.mark.parametrize("way", ["host", "application", "workload", "user"])
def test_each_way_to_get_a_token_opens_landing_zone_and_lake(
    way: str, store: Store, issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "az").write_text(
        f'#!/bin/sh\necho \'{{"accessToken": "{make_token()}", "expires_on": 4102444800,\''
        ' \'"expiresOn": "2099-12-31 00:00:00.000000", "tokenType": "Bearer"}\'\n'
    )
    (tmp_path / "az").chmod(0o755)
    as_user = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "AZURE_USE_AZURE_CLI": "true"}
    ways = {
        "host": issuer.as_host,
        "application": issuer.as_application,
        "workload": issuer.as_workload,
        "user": as_user,
    }
    for name in ("AZURE_STORAGE_ENDPOINT", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, store.environment[name])
    for name, value in ways[way].items():
        monkeypatch.setenv(name, value)
    uri = f"{store.root}/{way}"
    filesystem, root = open_store(uri)
    with filesystem.open_output_stream(f"{root}/image.jpg") as sink:
        sink.write(b"bytes")
    assert filesystem.get_file_info(f"{root}/image.jpg").size == len(b"bytes")
    write_deltalake(f"{uri}/table", pa.table({"a": [1]}), storage_options=storage_options(uri))
    assert DeltaTable(f"{uri}/table", storage_options=storage_options(uri)).to_pyarrow_table().num_rows == 1
