"""What an address says, asked of real sockets and real TLS; and whom the session's checks tell nothing."""

import socket
import subprocess
import threading
import time

import pytest
from ansible.module_utils.session import SessionError, probe
from ansible.module_utils.session.address import ask, fingerprint
from certificates import dated, made, serving, signed

PATIENCE = 20


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return made(tmp_path_factory.mktemp("ours") / "slipway")


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """A certificate with the same names."""
    return made(tmp_path_factory.mktemp("others") / "slipway")


@pytest.fixture
def taken():
    """A port that another program listens on; it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(params=["http", "https"])
def certificate(request, ours):
    """What is asked by: nothing, or our certificate."""
    return ours[0].read_text() if request.param == "https" else ""


def said(port, certificate="", patience=PATIENCE):
    return ask("localhost", port, certificate, patience, patience)


def test_a_port_that_nobody_reads_is_silent(taken, certificate):
    assert said(taken, certificate, 0.5) == "silent"


def test_a_port_that_nobody_listens_on_refuses(certificate):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert said(port, certificate) == "refused"


def test_an_address_without_a_way_is_unreachable():
    # Nobody can connect to a broadcast address.
    assert ask("255.255.255.255", 8888, "", PATIENCE, PATIENCE) == "unreachable"


def test_a_port_that_closes_without_a_word_is_closed(certificate):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        assert said(listener.getsockname()[1], certificate) == "closed"


def test_a_server_answers():
    with serving() as server:
        assert said(server.server_port) == "answers"


def test_a_server_in_https_answers_by_its_own_certificate_alone(ours, others):
    with serving(*ours) as server:
        assert said(server.server_port, ours[0].read_text()) == "answers"
        assert said(server.server_port, others[0].read_text()) == "stranger"
        assert said(server.server_port) != "answers"


def test_a_server_in_http_is_not_the_one_in_https_that_should_be_there(ours):
    with serving() as server:
        assert said(server.server_port, ours[0].read_text()) == "stranger"
        assert server.heard == []


def test_a_certificate_that_an_authority_has_signed_is_trusted_as_itself(tmp_path):
    own, key = signed(tmp_path / "own")
    with serving(own, key) as server:
        assert said(server.server_port, own.read_text()) == "answers"
        assert probe.Lab(f"https://localhost:{server.server_port}", "secret", certificate=own).api()


@pytest.mark.fault(30)
@pytest.mark.parametrize("years", [(2020, 2021), (2099, 2100)])
def test_a_clock_that_is_wrong_makes_no_stranger_of_the_server(tmp_path, years):
    own, key = dated(tmp_path / "own", *(f"{year}0101000000Z" for year in years))
    with serving(own, key) as server:
        assert said(server.server_port, own.read_text()) == "answers"
        assert probe.Lab(f"https://localhost:{server.server_port}", "secret", certificate=own).api()


def test_a_certificate_for_another_name_is_not_taken(tmp_path):
    own, key = signed(tmp_path / "own", "example.org")
    with serving(own, key) as server:
        assert said(server.server_port, own.read_text()) == "stranger"


def test_the_fingerprint_is_the_one_that_a_browser_shows(ours):
    shown = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", ours[0]]
    expected = subprocess.run(shown, capture_output=True, text=True, check=True, timeout=60).stdout
    assert expected.strip().endswith(f"={fingerprint(ours[0].read_text())}")


def test_the_checks_tell_a_stranger_no_token_and_do_not_wait_for_it(ours, others):
    with serving(*others) as server:
        lab = probe.Lab(f"https://localhost:{server.server_port}", "secret", certificate=ours[0])
        started = time.monotonic()
        with pytest.raises(
            probe.StrangerError, match=r"does not show this session's certificate(?s:.*)certificate verify failed"
        ):
            probe.wait_for_api(lab, 120)
        assert time.monotonic() - started < 60
        assert server.heard == []


def test_without_the_certificate_nothing_is_asked_and_the_way_out_is_told(tmp_path):
    with pytest.raises(SessionError, match=r"gone\.\nRemedy: run playbooks/session\.yml"):
        probe.Lab("https://localhost:8890", "secret", certificate=tmp_path / "certificate.pem")


def test_the_checks_talk_to_our_server_by_its_certificate(ours):
    with serving(*ours) as server:
        lab = probe.Lab(f"https://localhost:{server.server_port}", "secret", certificate=ours[0])
        assert lab.api() == "Jupyter server 2.0.0 answers"
        assert [headers["Authorization"] for headers in server.heard] == ["token secret"]
