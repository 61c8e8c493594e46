"""Emulators of object stores on the loopback interface, and of the services that give Azure's tokens."""

import hmac
import json
import os
import ssl
import subprocess
import sys
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlencode

from deployment import PROJECT
from pyarrow import fs
from servers import free_port

from pipeline.storage.object_stores import open_store

SECRET = "hush-a-secret-that-nobody-may-read"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Public key of the emulator's only account."""

ACCOUNT = "devstoreaccount1"
AZURITE = PROJECT / ".node" / "node_modules" / ".bin" / "azurite-blob"
PATIENCE_SECONDS = 60
KEEP_ALIVE = """
const https = require("https");
const create = https.createServer;
const timeout = {get: () => 600_000, set: () => {}};
https.createServer = (...options) => Object.defineProperty(create(...options), "keepAliveTimeout", timeout);
"""
"""Azurite closes idle connections after 5 s and ignores its option for that; Azure's client notices it too late."""

TOKEN_SECONDS = 86_400


@dataclass(frozen=True)
class Store:
    """A running emulator.

    Attributes:
        root: URI of a bucket.
        secret: key, signature or part of a token that must not be found anywhere.
        environment: variables with endpoint and credential.
        process: the emulator.
        log: its output.
    """

    root: str
    secret: str
    environment: Mapping[str, str]
    process: subprocess.Popen
    log: Path

    def make_bucket(self) -> None:
        """Waits for the emulator and makes the bucket; the environment must be set."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                filesystem, root = open_store(self.root)
                if isinstance(filesystem, fs.S3FileSystem):
                    endpoint = self.environment["AWS_ENDPOINT_URL"].removeprefix("http://")
                    filesystem = fs.S3FileSystem(endpoint_override=endpoint, scheme="http", allow_bucket_creation=True)
                filesystem.create_dir(root)
            except OSError:
                time.sleep(0.3)
            else:
                return
        raise AssertionError(self.log.read_text())


@contextmanager
def start_store(kind: str, folder: Path) -> Iterator[Store]:
    """Starts an emulator: `s3`, `azure` with an account key, `azure-signed`, or `azure-identity` with tokens."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    command = [str(AZURITE), *options, "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    root, secret = f"abfss://photos@{ACCOUNT}.dfs.core.windows.net", SECRET
    environment = {"AZURE_STORAGE_ENDPOINT": f"{endpoint}/{ACCOUNT}"}
    with ExitStack() as stack:
        if kind == "s3":
            command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
            environment = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": SECRET}
            environment |= {"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": endpoint}
            root = "s3://photos"
        elif kind == "azure":
            environment |= {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY}
            root, secret = "az://photos", AZURITE_KEY
        elif kind == "azure-signed":
            environment |= {"AZURE_STORAGE_SAS_TOKEN": sign()}
            secret = sign().rpartition("sig=")[2]
        elif kind == "azure-identity":
            make_certificate(folder)
            command += ["--oauth", "basic", "--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")]
            issuer = stack.enter_context(issue_tokens(folder))
            environment = {
                "AZURE_STORAGE_ENDPOINT": f"https://127.0.0.1:{port}/{ACCOUNT}",
                "SSL_CERT_FILE": str(folder / "ca.pem"),
                **issuer.as_host,
            }
        else:
            raise ValueError(kind)
        log, preloaded = folder / "log", folder / "keep_alive.cjs"
        preloaded.write_text(KEEP_ALIVE)
        node = os.environ | {"NODE_OPTIONS": f"--require={preloaded}"}
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=folder, env=node, stdout=output, stderr=subprocess.STDOUT)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        yield Store(root, secret, environment, process, log)


def sign() -> str:
    """A shared access signature of the emulator's account, for everything until 2099."""
    version, end, allowed = "2020-08-04", "2099-12-31T00:00:00Z", "rwdlacup"
    signed = "\n".join([ACCOUNT, allowed, "b", "sco", "", end, "", "https,http", version, ""])
    digest = hmac.digest(b64decode(AZURITE_KEY), signed.encode(), "sha256")
    parts = {"sv": version, "ss": "b", "srt": "sco", "sp": allowed, "se": end, "spr": "https,http"}
    return urlencode(parts | {"sig": b64encode(digest).decode()})


def make_certificate(folder: Path) -> None:
    """Makes `ca.pem`, and `cert.pem` with `key.pem` for 127.0.0.1: Azure's clients send tokens by TLS only."""
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    own = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=emulators"]
    server = ["-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    for options in (own, [*server, *names]):
        subprocess.run([*make, *options], cwd=folder, check=True, capture_output=True)


@dataclass(frozen=True)
class Issuer:
    """A service that issues tokens to those who know the secret.

    Attributes:
        as_host: variables of a host with a managed identity, as App Service sets them.
        as_application: variables of an application with a client secret.
        as_workload: variables of a Kubernetes workload with a federated token.
    """

    as_host: Mapping[str, str]
    as_application: Mapping[str, str]
    as_workload: Mapping[str, str]


@contextmanager
def issue_tokens(folder: Path) -> Iterator[Issuer]:
    """Starts an issuer: an endpoint of a host without TLS, and Entra's with the certificate of the folder."""
    host, entra = (ThreadingHTTPServer(("127.0.0.1", 0), each) for each in (_Host, _Entra))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    entra.socket = context.wrap_socket(entra.socket, server_side=True)
    (folder / "federated").write_text(SECRET)
    ids = {
        f"AZURE_{name}_ID": f"{number * 8}-0000-4000-8000-000000000000"
        for name, number in zip(("TENANT", "CLIENT"), "12", strict=True)
    }
    ids["AZURE_AUTHORITY_HOST"] = f"https://127.0.0.1:{entra.server_port}"
    threads = [Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in (host, entra)]
    for thread in threads:
        thread.start()
    try:
        yield Issuer(
            {"IDENTITY_ENDPOINT": f"http://127.0.0.1:{host.server_port}/msi/token", "IDENTITY_HEADER": SECRET},
            ids | {"AZURE_CLIENT_SECRET": SECRET},
            ids | {"AZURE_FEDERATED_TOKEN_FILE": str(folder / "federated")},
        )
    finally:
        for server, thread in zip((host, entra), threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def make_token() -> str:
    """A token that the emulator takes; it ends with the secret in place of a signature."""
    now = int(time.time())
    claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/emulated/", "ver": "1.0"}
    claims |= {"nbf": now - 60, "iat": now - 60, "exp": now + TOKEN_SECONDS}
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    return ".".join([*(urlsafe_b64encode(part).decode().rstrip("=") for part in parts), SECRET])


class _Answers(BaseHTTPRequestHandler):
    def answer(self, is_known: bool, times: Mapping[str, str | int]) -> None:
        token = {"access_token": make_token(), "token_type": "Bearer", "resource": "https://storage.azure.com"}
        body = json.dumps(token | dict(times)).encode() if is_known else b"{}"
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


class _Host(_Answers):
    """The identity endpoint of App Service, version 2019-08-01, whose numbers are text."""

    def do_GET(self) -> None:
        self.answer(self.headers["X-IDENTITY-HEADER"] == SECRET, {"expires_on": str(int(time.time()) + TOKEN_SECONDS)})


class _Entra(_Answers):
    """Entra's token endpoint, version 2, for client secrets and federated tokens."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        given = form.get("client_secret", form.get("client_assertion", []))
        self.answer(given == [SECRET], {"expires_in": TOKEN_SECONDS, "ext_expires_in": TOKEN_SECONDS})
