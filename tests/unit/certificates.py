# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as role jupyter makes them, and servers that show one."""

import contextlib
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAKE = (Path(__file__).parents[2] / "roles/jupyter/files/certificate.sh").read_text()


def made(folder):
    """The files of a certificate for localhost and of its key, in a new folder."""
    certificate, key = folder / "jupyter.crt", folder / "jupyter.key"
    argv = ["sh", "-s", "--", certificate, key, "ada", folder]
    subprocess.run(argv, input=MAKE, capture_output=True, text=True, timeout=60, check=True)
    return certificate, key


def signed(folder, name="localhost"):
    """The same, but signed by an authority, for another name if need be."""
    folder.mkdir()

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, timeout=60, check=True)

    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "9",
        "-subj",
        "/CN=CA",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
    )
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", "own.key", "-out", "own.csr")
    (folder / "own.ext").write_text(f"subjectAltName=DNS:{name}")
    openssl(
        "x509",
        "-req",
        "-in",
        "own.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-days",
        "9",
        "-extfile",
        "own.ext",
        "-out",
        "own.crt",
    )
    return folder / "own.crt", folder / "own.key"


#: As little as `openssl ca` needs, which is the one that dates a certificate.
AUTHORITY = """\
[ca]
default_ca = this
[this]
database = index.txt
serial = serial
new_certs_dir = .
policy = any
default_md = sha256
[any]
commonName = supplied
"""


def dated(folder, start, end):
    """The same, signed by itself, valid between two times such as ``20200101000000Z``."""
    folder.mkdir()
    files = {"ca.conf": AUTHORITY, "index.txt": "", "serial": "01", "own.ext": "subjectAltName=DNS:localhost"}
    for name, text in files.items():
        (folder / name).write_text(text)
    request = "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout own.key -out own.csr"
    sign = f"ca -batch -selfsign -notext -config ca.conf -extfile own.ext -keyfile own.key -startdate {start} -enddate {end}"
    for arguments in (request, f"{sign} -in own.csr -out own.crt"):
        subprocess.run(["openssl", *arguments.split()], cwd=folder, capture_output=True, timeout=60, check=True)
    return folder / "own.crt", folder / "own.key"


class Jupyter(BaseHTTPRequestHandler):
    """Answers ``/api`` as a Jupyter server does, and remembers what it was told."""

    def do_GET(self):
        self.server.heard.append(dict(self.headers))
        body = b'{"version": "2.0.0"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that takes it for a stranger breaks off."""


@contextlib.contextmanager
def serving(certificate=None, key=None, port=0):
    """A server on 127.0.0.1, in https where it has a certificate; its ``heard`` are the headers of each request."""
    with Server(("127.0.0.1", port), Jupyter) as server:
        server.heard = []
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            # A client that breaks off must not hold up the next one.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
