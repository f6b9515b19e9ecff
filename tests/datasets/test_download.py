"""Downloads from a server on this very machine."""

import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest
from minibp_datasets.about import File
from minibp_datasets.download import fetch, record, recorded

from minibp.errors import InputError

CONTENT = np.random.default_rng(0).bytes(300_000)
HASH = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT, in the manner that the first part of the path says."""

    def do_GET(self):
        manner = self.path.split("/")[1]
        asked = self.headers.get("Range")
        self.server.log.append((manner, asked))
        if manner == "missing":
            self.send_error(404)
            return
        start = 0
        if asked and manner != "norange":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(CONTENT):
                self.send_error(416)
                return
        packs = manner == "packs-always" or (
            manner == "packs" and "gzip" in self.headers.get("Accept-Encoding", "")
        )
        if packs:
            body = gzip.compress(CONTENT)
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        body = CONTENT[start:] if manner != "corrupt" else b"x" * len(CONTENT)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            begin = start + (manner == "shifted")
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(body[: 100_000 if manner == "cut" else None])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.log = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.folder = tmp_path
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
        server.shutdown()
        thread.join()


def get(server, *manners, checksum=HASH):
    mirrors = tuple(f"{server.url}/{m}/" for m in manners)
    return fetch(File("file.bin", mirrors, checksum), server.folder, quiet=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_download_is_kept_and_not_repeated(server, tmp_path):
    assert get(server, "good").read_bytes() == CONTENT
    assert get(server, "good") == tmp_path / "file.bin"
    assert len(server.log) == 1
    assert names(tmp_path) == ["file.bin"]


def test_a_cut_download_goes_on_where_it_was(server, tmp_path):
    with pytest.raises(InputError, match=r"file\.bin could not be downloaded"):
        get(server, "cut")
    have = (tmp_path / "file.bin.part").stat().st_size
    assert 50_000 < have <= 100_000
    assert get(server, "good").read_bytes() == CONTENT
    assert server.log[-1] == ("good", f"bytes={have}-")
    assert names(tmp_path) == ["file.bin"]


def test_also_at_the_next_mirror(server):
    assert get(server, "cut", "good").read_bytes() == CONTENT
    assert [manner for manner, asked in server.log] == ["cut", "good"]
    assert server.log[1][1] is not None


def test_a_server_that_cannot_resume_sends_it_whole(server):
    assert get(server, "cut", "norange").read_bytes() == CONTENT


def test_a_part_that_is_whole_already(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert get(server, "good").read_bytes() == CONTENT


def test_a_wrong_checksum_is_never_kept(server, tmp_path):
    with pytest.raises(InputError, match="hash"):
        get(server, "corrupt")
    assert names(tmp_path) == []
    assert get(server, "corrupt", "good").read_bytes() == CONTENT


def test_a_part_of_another_file_is_not_built_upon_twice(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"y" * 1000)
    with pytest.raises(InputError, match="hash"):
        get(server, "good")
    assert get(server, "good").read_bytes() == CONTENT


def test_every_mirrors_answer_is_told(server):
    with pytest.raises(InputError) as error:
        get(server, "missing", "cut")
    for text in ("/missing/file.bin: 404", "/cut/file.bin", "--data-dir", str(server.folder)):
        assert text in str(error.value)


def test_a_file_not_there_is_asked_of_the_next_mirror(server):
    assert get(server, "missing", "good").read_bytes() == CONTENT
    assert [manner for manner, _ in server.log] == ["missing", "good"]


def test_a_recorded_checksum_is_expected_from_then_on(server, tmp_path):
    path = get(server, "good", checksum="")
    assert recorded(tmp_path) == {}  # nobody has read it yet
    record(tmp_path, path)
    assert recorded(tmp_path) == {"file.bin": HASH}
    path.write_bytes(b"something else")
    assert get(server, "good", checksum="").read_bytes() == CONTENT  # not what it was: fetched anew
    path.unlink()
    with pytest.raises(InputError, match="hash"):
        get(server, "corrupt", checksum="")
    assert not path.exists()


def test_a_server_that_packs_files_on_their_way_is_told_not_to(server):
    assert get(server, "packs").read_bytes() == CONTENT


def test_a_server_that_packs_them_all_the_same(server):
    with pytest.raises(InputError, match="packs the file on its way"):
        get(server, "packs-always")


def test_another_part_than_was_asked_for(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(InputError, match="another part"):
        get(server, "shifted")
    assert get(server, "good").read_bytes() == CONTENT


def test_a_mirror_with_an_address_of_its_own(server, tmp_path):
    file = File("file.bin", (f"{server.url}/good/7001",), HASH)
    assert fetch(file, tmp_path, quiet=True).read_bytes() == CONTENT
