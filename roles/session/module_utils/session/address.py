# SPDX-License-Identifier: GPL-3.0-or-later
"""What an address says to a browser's question, and by which certificate a server that speaks https is known.

Asked from the login node of a node's port, and on the controller of a tunnel's. Standard library alone.
"""

import hashlib
import socket
import ssl

#: What a session's certificate is for, whoever asks: a browser asks the tunnel's end.
NAME = "localhost"
#: Of OpenSSL; Python has a name for the first since 3.10, for the second none.
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000


def fingerprint(certificate):
    """The SHA-256 fingerprint of a PEM text's first certificate, as a browser shows it."""
    first = certificate[: certificate.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)]
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest().upper()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def trusting(certificate):
    """A TLS context for a client that trusts ``certificate``, a PEM text, and no authority besides.

    Raises:
        ssl.SSLError: it is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate)
    # One that an authority has signed is trusted as itself too, the authority's own being elsewhere.
    # Clocks differ, and a certificate that is known by itself needs no time: the browser is the one to mind it.
    context.verify_flags |= _PARTIAL_CHAIN | _NO_CHECK_TIME
    return context


def ask(host, port, certificate, connect, answer):
    """What an address says to a browser's question. It is told no secret.

    Args:
        certificate: a PEM text, of the server that should be there; an empty one where it speaks http.
        connect, answer: seconds to wait for a connection, and for each word.

    Returns:
        ``refused``, ``unreachable``, ``closed`` (at once, without a word: there is no server behind it), ``silent``, ``stranger``
        (it can't show that the certificate is its own) or ``answers``.
    """
    try:
        connection = socket.create_connection((host, port), timeout=connect)
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "unreachable"
    with connection:
        connection.settimeout(answer)
        try:
            if not certificate:
                return _answer(connection)
            with trusting(certificate).wrap_socket(connection, server_hostname=NAME) as private:
                return _answer(private)
        except socket.timeout:
            return "silent"
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            # The second is what Python 3.9 and older make of the first.
            return "closed"
        except ssl.SSLError:
            return "stranger"
        except OSError:
            return "closed"


def _answer(connection):
    connection.sendall(b"GET /api HTTP/1.0\r\nHost: localhost\r\n\r\n")
    return "answers" if connection.recv(1) else "closed"
