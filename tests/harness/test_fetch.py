"""Fetching raw files from a server on this machine that can break off, refuse, and send the wrong thing."""

import gzip
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from processes import wait_until

import cabench as package
from cabench.dataset import RawFile
from cabench.errors import DataMissing, UserError
from cabench.fetch import fault, fetch, ways

CONTENT = bytes(range(256)) * 4000
SHA, MD5 = (f"{kind}:{hashlib.new(kind, CONTENT).hexdigest()}" for kind in ("sha256", "md5"))
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


class Handler(BaseHTTPRequestHandler):
    """Serves by the first part of the path; every request is noted as (path, Range)."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        how = self.path.split("/")[1]
        if how == "missing":
            self.send_error(404)
            return
        body = {"wrong": b"something else", "page": PAGE, "disguised": PAGE, "gz": gzip.compress(CONTENT)}
        body = body.get(how, CONTENT)
        start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and how not in ("unranged", "page") else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "text/html" if how == "page" else "application/octet-stream")
        if how == "gz":
            self.send_header("Content-Encoding", "gzip")
        if how == "unsized":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        if how == "broken":
            self.wfile.write(body[start : start + 300_000])
            self.close_connection = True
        elif how == "stalled" and not self.server.released.is_set():
            self.wfile.write(body[start : start + 300_000])
            self.wfile.flush()
            self.server.released.wait(30)
            self.close_connection = True
        else:
            self.wfile.write(body[start:])
            self.close_connection |= how == "unsized"


@pytest.fixture
def server():
    """A server on a free port; `server.url` is its address."""
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.handle_error = lambda *_: None  # a client that was killed
    serving.requests, serving.released = [], threading.Event()
    serving.url = f"http://127.0.0.1:{serving.server_port}"
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield serving
    serving.released.set()
    serving.shutdown()
    serving.server_close()
    thread.join()


def raw(server, *hows, checksum=SHA, path="sub/raw.bin"):
    return RawFile(path, tuple(f"{server.url}/{how}/raw.bin" for how in hows), checksum)


@pytest.mark.parametrize("checksum", [SHA, MD5, SHA.upper().replace("SHA256", "sha256"), ""])
def test_a_file_is_fetched_and_checked_against_either_kind_of_checksum(server, tmp_path, checksum):
    path = fetch(raw(server, "good", checksum=checksum), tmp_path)
    assert path == tmp_path / "sub/raw.bin"
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["raw.bin"]


def test_a_file_that_is_here_and_matches_is_not_fetched_again(server, tmp_path):
    file = raw(server, "good")
    fetch(file, tmp_path)
    fetch(file, tmp_path)
    assert len(server.requests) == 1


def test_a_damaged_file_is_replaced_and_stays_until_the_new_one_is_whole(server, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/raw.bin").write_bytes(b"damaged")
    with pytest.raises(DataMissing):
        fetch(raw(server, "broken"), tmp_path)
    assert (tmp_path / "sub/raw.bin").read_bytes() == b"damaged"
    fetch(raw(server, "good"), tmp_path)
    assert (tmp_path / "sub/raw.bin").read_bytes() == CONTENT


def test_mirrors_are_tried_in_order(server, tmp_path):
    fetch(raw(server, "missing", "page", "good", "wrong"), tmp_path)
    assert [path.split("/")[1] for path, _ in server.requests] == ["missing", "page", "good"]
    assert (tmp_path / "sub/raw.bin").read_bytes() == CONTENT


def test_when_every_mirror_fails_each_reason_is_in_one_sentence(server, tmp_path):
    closed = "http://127.0.0.1:1/raw.bin"
    file = RawFile("raw.bin", (f"{server.url}/missing/raw.bin", closed), SHA)
    with pytest.raises(DataMissing) as caught:
        fetch(file, tmp_path)
    said = str(caught.value)
    assert f"{tmp_path / 'raw.bin'} could not be fetched" in said
    assert f"{server.url}/missing/raw.bin: the server answers 404" in said
    assert f"{closed}: no connection" in said
    assert "\n" not in said
    assert not (tmp_path / "raw.bin").exists()


def test_a_wrong_hash_removes_the_file_and_says_expected_and_got(server, tmp_path):
    with pytest.raises(DataMissing) as caught:
        fetch(raw(server, "wrong"), tmp_path)
    assert f"expected {SHA}" in str(caught.value)
    assert f"got sha256:{hashlib.sha256(b'something else').hexdigest()}" in str(caught.value)
    assert list((tmp_path / "sub").iterdir()) == []


@pytest.mark.parametrize("how", ["page", "disguised"])
@pytest.mark.parametrize("checksum", [SHA, ""])
def test_a_web_page_in_place_of_an_archive_is_recognised(server, tmp_path, how, checksum):
    with pytest.raises(DataMissing, match="web page instead of the file"):
        fetch(raw(server, how, checksum=checksum), tmp_path)
    assert list((tmp_path / "sub").iterdir()) == []


def test_a_web_page_does_not_cost_what_had_arrived(server, tmp_path):
    with pytest.raises(DataMissing):
        fetch(raw(server, "broken", "page"), tmp_path)
    assert (tmp_path / "sub/raw.bin.part").read_bytes() == CONTENT[:300_000]


@pytest.mark.parametrize(("first", "second"), [("broken", "good"), ("broken", "unranged")])
def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path, first, second):
    with pytest.raises(DataMissing, match=r"the connection broke.*goes on where this stopped"):
        fetch(raw(server, first), tmp_path)
    assert not (tmp_path / "sub/raw.bin").exists()
    assert fetch(raw(server, second), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=300000-"
    assert not (tmp_path / "sub/raw.bin.part").exists()


def test_the_next_mirror_goes_on_where_the_last_one_broke(server, tmp_path):
    assert fetch(raw(server, "broken", "good"), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=300000-"


def test_pieces_of_a_file_without_a_checksum_are_not_joined(server, tmp_path):
    with pytest.raises(DataMissing, match="try again later"):
        fetch(raw(server, "broken", checksum=""), tmp_path)
    assert fetch(raw(server, "good", checksum=""), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] is None


def test_a_download_that_was_killed_before_its_check_is_checked_and_taken(server, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/raw.bin.part").write_bytes(CONTENT)
    assert fetch(raw(server, "good"), tmp_path).read_bytes() == CONTENT


def test_a_piece_of_another_file_is_found_out_and_costs_one_more_download(server, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/raw.bin.part").write_bytes(b"x" * 1000)
    assert fetch(raw(server, "good", "good"), tmp_path).read_bytes() == CONTENT


def test_a_gz_that_the_server_calls_an_encoding_is_stored_as_it_is(server, tmp_path):
    packed = gzip.decompress(fetch(raw(server, "gz", checksum=""), tmp_path).read_bytes())
    assert packed == CONTENT


def test_progress_ends_at_the_size_and_begins_at_what_had_arrived(server, tmp_path):
    with pytest.raises(DataMissing):
        fetch(raw(server, "broken"), tmp_path)
    seen = []
    fetch(raw(server, "good"), tmp_path, lambda have, total: seen.append((have, total)))
    assert seen[0][0] > 300_000
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    (tmp_path / "sub/raw.bin").unlink()
    fetch(raw(server, "unsized"), tmp_path, lambda have, total: seen.append((have, total)))
    assert seen[-1] == (len(CONTENT), None)


def test_a_file_in_the_way_is_one_sentence(server, tmp_path):
    (tmp_path / "sub").write_text("in the way")
    with pytest.raises(UserError, match=r"could not be written .*another --data-root"):
        fetch(raw(server, "good"), tmp_path)


def test_two_processes_that_fetch_at_once_send_one_request(server, tmp_path):
    threads = [threading.Thread(target=fetch, args=(raw(server, "good"), tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert (tmp_path / "sub/raw.bin").read_bytes() == CONTENT


def test_kill_9_leaves_no_file_under_its_final_name_and_the_next_call_resumes(server, tmp_path):
    file = raw(server, "stalled")
    code = "from cabench.dataset import RawFile; from cabench.fetch import fetch; from pathlib import Path\n"
    code += f"fetch({file!r}, Path({str(tmp_path)!r}))"
    where = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parent.parent)}
    process = subprocess.Popen([sys.executable, "-c", code], env=where)
    part = tmp_path / "sub/raw.bin.part"
    wait_until(lambda: part.exists() and part.stat().st_size)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.released.set()
    assert not (tmp_path / "sub/raw.bin").exists()
    have = part.stat().st_size
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, f"bytes={have}-"]


def test_an_alternative_serves_as_well_and_is_not_hashed(tmp_path):
    file = RawFile("raw.zip", (), SHA, ("raw/", "other/raw/"))
    assert (file.locate(tmp_path), fault(file, tmp_path)) == (None, "is missing")
    (tmp_path / "other/raw").mkdir(parents=True)
    assert file.locate(tmp_path) == tmp_path / "other/raw"
    assert fault(file, tmp_path) == ""
    (tmp_path / "raw.zip").write_bytes(b"damaged")
    assert fault(file, tmp_path).startswith(f"is damaged (expected {SHA}, got sha256:")


class Card:
    name, obtain, steps = "card", "Ask the owners.", ("Register.", "Download raw.zip.")


def test_ways_give_the_command_for_free_files_and_numbered_steps_for_gated_ones():
    free, gated = RawFile("free.bin", ("http://x/free.bin",)), RawFile("raw.zip")
    assert ways(Card, []) == ""
    assert ways(Card, [free]) == "Run `cabench data fetch card`."
    assert ways(Card, [gated]) == "Only you can get raw.zip:\n  1. Register.\n  2. Download raw.zip."
    assert ways(Card, [free, gated]) == f"{ways(Card, [free])} {ways(Card, [gated])}"
