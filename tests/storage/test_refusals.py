"""Files that the container's reader must refuse, each with its reason."""

import hashlib
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from labcore.storage import ContainerError, read_container, save_model


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "model.lab"
    save_model(path, nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), meta={"note": "x"})
    return path.read_bytes()


def test_every_truncation_is_refused_as_such(sound, tmp_path):
    path = tmp_path / "cut"
    for n in range(len(sound)):
        path.write_bytes(sound[:n])
        with pytest.raises(ContainerError, match=r"cut off, at least [1-9][\d,]* bytes are missing"):
            read_container(path)
    path.write_bytes(sound[:-5])
    with pytest.raises(ContainerError, match="at least 5 bytes"):
        read_container(path)


def test_every_changed_byte_is_refused(sound, tmp_path):
    path = tmp_path / "flipped"
    for n in range(len(sound)):
        path.write_bytes(sound[:n] + bytes([sound[n] ^ (1 << n % 8)]) + sound[n + 1 :])
        with pytest.raises(ContainerError):
            read_container(path)


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.binary(max_size=120), st.binary(max_size=120).map(lambda tail: b"LABCORE\x01" + tail)))
def test_no_bytes_crash_the_reader(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(content)
    with pytest.raises(ContainerError):
        read_container(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04 a zip file", "not a labcore container"),
        (b"LABCORE\x02" + bytes(60), "version 2.*newer.*update labcore"),
        (b"LABCORE\x00" + bytes(60), "version 0, expected 1$"),
        (b"LABCORE\x01" + bytes(32) + b"\xff" * 8 + b"{}", "checksum is wrong"),
        (b"LABCORE\x01" + bytes(32) + (1000).to_bytes(8, "little") + b"{}", "at least 998 bytes"),
        (b"LABCORE\x01" + bytes(32) + (2).to_bytes(8, "little") + b"[]", "header is not readable"),
    ],
)
def test_a_refusal_gives_its_reason(content, reason, tmp_path):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ContainerError, match=reason):
        read_container(tmp_path / "f")


DENSE = {"encoding": "dense", "parts": ["values"], "info": {}}
ALIAS = {"encoding": "alias", "info": {"of": "w"}}


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("no json", "JSONDecodeError"),
        ("[" * 100_000, "RecursionError"),
        ([], "TypeError"),
        ({"version": 1, "tensors": {"w": DENSE}}, "meta"),
        ({"version": 2, "tensors": {"w": DENSE}, "meta": {}}, "version 2"),
        ({"version": 1, "tensors": {"w": DENSE}, "meta": []}, "meta"),
        ({"version": 1, "tensors": {}, "meta": {}}, "no tensor uses: w:values"),
        ({"version": 1, "tensors": {"w": DENSE | {"encoding": "zip"}}, "meta": {}}, "encoding 'zip'.*dense"),
        ({"version": 1, "tensors": {"w": DENSE | {"parts": ["mask"]}}, "meta": {}}, "w:mask"),
        ({"version": 1, "tensors": {"w": ALIAS}, "meta": {}}, "KeyError"),
    ],
)
def test_a_wrong_description_under_a_right_checksum_is_refused(description, reason, tmp_path):
    text = description if isinstance(description, str) else json.dumps(description)
    payload = save({"w:values": torch.ones(2)}, metadata={"labcore": text})
    (tmp_path / "f").write_bytes(b"LABCORE\x01" + hashlib.sha256(payload).digest() + payload)
    with pytest.raises(ContainerError, match=reason):
        read_container(tmp_path / "f")
