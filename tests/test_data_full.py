"""Full data sets through torchvision, from folders and from a server on 127.0.0.1; nothing goes beyond it."""

import gzip
import hashlib
import http.server
import io
import pickle
import shutil
import socket
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets as tv

from labcore.data import DatasetUnavailable, load_dataset

N = {"train": 20, "t10k": 10}
CIFAR = "cifar-10-batches-py"


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch, tmp_path):
    connect = socket.socket.connect

    def guarded(self, address):
        if address[0] != "127.0.0.1":
            pytest.fail(f"a test went out to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LABCORE_DATA", raising=False)


def pixels(n: int, channels: int = 1) -> np.ndarray:
    side = 28 if channels == 1 else 32
    return np.random.default_rng(n).integers(0, 256, (n, channels, side, side), dtype=np.uint8)


def idx_files() -> dict[str, bytes]:
    """A tiny set in the format of MNIST: magic, dimensions (big-endian), bytes."""
    files = {}
    for split, n in N.items():
        header = np.array([0x0803, n, 28, 28], ">i4").tobytes()
        files[f"{split}-images-idx3-ubyte"] = header + pixels(n).tobytes()
        labels = (np.arange(n) % 10).astype(np.uint8)
        files[f"{split}-labels-idx1-ubyte"] = np.array([0x0801, n], ">i4").tobytes() + labels.tobytes()
    return files


def cifar_files() -> dict[str, bytes]:
    files = {"batches.meta": pickle.dumps({"label_names": list("abcdefghij")})}
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        batch = {"data": pixels(10, 3).reshape(10, -1), "labels": list(range(10))}
        files[name] = pickle.dumps(batch)
    return files


def md5(payload: bytes) -> str:
    return hashlib.md5(payload).hexdigest()


def tar_of(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, payload in files.items():
            entry = tarfile.TarInfo(f"{CIFAR}/{name}")
            entry.size = len(payload)
            archive.addfile(entry, io.BytesIO(payload))
    return stream.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.files.get(self.path.lstrip("/"))
        if body is None:
            self.send_error(404)
            return
        if self.server.fault == "cut chunk":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" + body[:9])
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.server.fault == "cut" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.fault = {}, None
        server.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def publish(server, monkeypatch):
    """Put a tiny set on the server, in the original's format, and point torchvision to it."""

    def publish_as(name: str, fault: str | None = None) -> None:
        server.fault, url = fault, server.url
        if fault == "refused":
            with socket.socket() as closed:
                closed.bind(("127.0.0.1", 0))
                url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        if name == "cifar10":
            inside = cifar_files()
            files = {"cifar-10-python.tar.gz": tar_of(inside)}
            sums = [[each, md5(payload)] for each, payload in inside.items()]
            changes = {
                "url": f"{url}cifar-10-python.tar.gz", "tgz_md5": md5(files["cifar-10-python.tar.gz"]),
                "train_list": sums[1:3], "test_list": sums[3:],
                "meta": {"filename": "batches.meta", "key": "label_names", "md5": sums[0][1]},
            }  # fmt: skip
        else:
            files = {f"{each}.gz": gzip.compress(payload) for each, payload in idx_files().items()}
            sums = [(each, md5(payload)) for each, payload in files.items()]
            changes = {"mirrors": [url], "resources": sums}
        for attribute, value in changes.items():
            monkeypatch.setattr(CLASSES[name], attribute, value)
        if fault == "changed":
            files = {each: payload[:-1] + bytes([payload[-1] ^ 1]) for each, payload in files.items()}
        server.files = {} if fault == "404" else files

    return publish_as


CLASSES = {"fashion-mnist": tv.FashionMNIST, "mnist": tv.MNIST, "cifar10": tv.CIFAR10}
TOPS = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST", "cifar10": CIFAR}


def put_raw(folder: Path, name: str = "FashionMNIST") -> Path:
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for each, payload in idx_files().items():
        (raw / each).write_bytes(payload)
    return raw


# torchvision unpacks tar files in a way that Python 3.12 and 3.13 deprecate.
@pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning")
@pytest.mark.parametrize("name", CLASSES)
def test_a_good_download_gives_the_images_and_is_kept(name, publish, server, tmp_path):
    publish(name)
    data = load_dataset(name, root=tmp_path / "data", download=True)
    n_train, channels = (20, 3) if name == "cifar10" else (N["train"], 1)
    expected = np.concatenate([pixels(10, 3)] * 2) if name == "cifar10" else pixels(n_train)
    assert ((data.train_images * 255).round().numpy() == expected).all()
    assert ((data.test_images * 255).round().numpy() == pixels(10, channels)).all()
    assert data.train_labels.tolist() == [*range(10)] * 2
    assert data.test_labels.tolist() == [*range(10)]
    assert [path.name for path in (tmp_path / "data").iterdir()] == [TOPS[name]]
    server.files = {}
    assert load_dataset(name, root=tmp_path / "data").train_labels.tolist() == [*range(10)] * 2


@pytest.mark.case("C-download")
@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])
@pytest.mark.parametrize("fault", ["404", "refused", "cut", "cut chunk", "changed"])
def test_a_failed_download_says_what_was_tried_and_leaves_nothing(name, fault, publish, tmp_path):
    publish(name, fault)
    folder = tmp_path / "data"
    with pytest.raises(DatasetUnavailable) as caught:
        load_dataset(name, root=folder, download=True)
    message = str(caught.value)
    reason = {"404": "404", "refused": "refused", "cut chunk": "IncompleteRead"}.get(fault, "corrupted")
    for words in (
        f"{name!r} is not usable", f"read {folder}", "download from http://127.0.0.1", reason,
        f"Put the unpacked files by hand at {folder / TOPS[name]}", "LABCORE_DATA", "root=", "fashion14",
    ):  # fmt: skip
        assert words in message
    assert list(folder.iterdir()) == []


@pytest.mark.case("C-download")
def test_a_missing_set_is_not_fetched_unasked(publish, server, tmp_path):
    publish("mnist")
    with pytest.raises(DatasetUnavailable, match="did not download") as caught:
        load_dataset("mnist")
    assert str(tmp_path / "home" / "data" / "MNIST" / "raw") in str(caught.value)
    assert not (tmp_path / "home").exists()


def test_a_half_file_is_refused_and_a_download_replaces_it(publish, tmp_path):
    raw = put_raw(tmp_path)
    half = raw / "train-images-idx3-ubyte"
    content = half.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetUnavailable, match=r"read .*FashionMNIST/raw.*invalid for input of size 7832"):
        load_dataset("fashion-mnist", root=tmp_path)
    publish("fashion-mnist", "cut")
    with pytest.raises(DatasetUnavailable):
        load_dataset("fashion-mnist", root=tmp_path, download=True)
    assert half.read_bytes() == content[: len(content) // 2]
    publish("fashion-mnist")
    assert len(load_dataset("fashion-mnist", root=tmp_path, download=True).train_labels) == N["train"]
    assert half.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"foreign", np.array([0x0D03, 20, 28, 28], ">i4").tobytes() + bytes(4 * 20 * 784)]
)
def test_a_foreign_file_is_refused(content, tmp_path):
    (put_raw(tmp_path) / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DatasetUnavailable, match="not usable"):
        load_dataset("fashion-mnist", root=tmp_path)


def test_more_images_than_labels_are_refused(tmp_path):
    raw = put_raw(tmp_path)
    shutil.copy(raw / "t10k-labels-idx1-ubyte", raw / "train-labels-idx1-ubyte")
    with pytest.raises(DatasetUnavailable, match="images and labels differ in number"):
        load_dataset("fashion-mnist", root=tmp_path)


def test_root_comes_before_labcore_data_before_home(monkeypatch, tmp_path):
    for place, label in (("root", 1), ("variable", 2), ("home/data", 3)):
        labels = put_raw(tmp_path / place) / "t10k-labels-idx1-ubyte"
        labels.write_bytes(labels.read_bytes()[:8] + bytes([label] * N["t10k"]))
    assert load_dataset("fashion-mnist").test_labels[0] == 3
    monkeypatch.setenv("LABCORE_DATA", str(tmp_path / "variable"))
    assert load_dataset("fashion-mnist").test_labels[0] == 2
    assert load_dataset("fashion-mnist", root=str(tmp_path / "root")).test_labels[0] == 1


def test_a_folder_that_cannot_be_written_is_said(publish, tmp_path):
    publish("mnist")
    (tmp_path / "data").write_text("a file in the folder's place")
    with pytest.raises(DatasetUnavailable, match=r"download from .*File exists"):
        load_dataset("mnist", root=tmp_path / "data", download=True)
