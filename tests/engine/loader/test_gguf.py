"""GGUF files: what the reference package writes is read back, and what is cut, damaged or hostile is refused."""

from __future__ import annotations

import gc
import os
import random
import struct
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import gguf
import numpy as np
import psutil
import pytest

from engine.errors import ModelLoadError
from engine.loader.ggml_types import GGMLType
from engine.loader.gguf import GGUFFile
from engine.loader.gguf_reader import MAX_OBJECTS

SHIPPED = Path(__file__).parents[3] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
UINT8, UINT32, BOOL, STRING, ARRAY, UINT64 = 0, 4, 7, 8, 9, 10
HUGE = 2**63


# What a file is made of


def u32(number: int) -> bytes:
    return struct.pack("<I", number)


def u64(number: int) -> bytes:
    return struct.pack("<Q", number)


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return u64(len(data)) + data


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    return text(key) + u32(kind) + value


def tensor_info(
    name: str = "weight", shape: tuple[int, ...] = (32,), kind: int = GGMLType.F32, offset: int = 0
) -> bytes:
    return text(name) + u32(len(shape)) + b"".join(map(u64, shape)) + u32(kind) + u64(offset)


def file_bytes(
    pairs: tuple[bytes, ...] = (),
    tensors: tuple[bytes, ...] = (),
    data: bytes = bytes(128),
    *,
    magic: bytes = b"GGUF",
    version: bytes = u32(3),
    pair_count: int | None = None,
    tensor_count: int | None = None,
) -> bytes:
    counts = u64(len(tensors) if tensor_count is None else tensor_count)
    counts += u64(len(pairs) if pair_count is None else pair_count)
    head = magic + version + counts + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


def open_bytes(folder: Path, content: bytes) -> GGUFFile:
    path = folder / "made.gguf"
    path.write_bytes(content)
    return GGUFFile.open(path)


def write_small_model(path: Path) -> None:
    """A file with every kind of metadata, a vocabulary and tensors of several types."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("test.uint8", 200)
    writer.add_int8("test.int8", -100)
    writer.add_uint16("test.uint16", 60_000)
    writer.add_int16("test.int16", -30_000)
    writer.add_uint32("test.uint32", 4_000_000_000)
    writer.add_int32("test.int32", -2_000_000_000)
    writer.add_uint64("test.uint64", 2**63)
    writer.add_int64("test.int64", -(2**62))
    writer.add_float32("test.float32", 0.5)
    writer.add_float64("test.float64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "naïve 你好 🙂")
    writer.add_array("test.strings", ["a", "", "é"])
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.floats", [0.5, 1.5])
    writer.add_array("test.bools", [True, False])
    writer.add_token_list([f"token {number}" for number in range(1000)])
    writer.add_token_types([1] * 1000)
    rng = np.random.default_rng(0)
    for name, kind in (("a", "F32"), ("b", "F16"), ("c", "Q4_1"), ("d", "Q8_0")):
        storage = gguf.GGMLQuantizationType[kind]
        numbers = rng.standard_normal((6, 64)).astype(np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(numbers, storage), raw_dtype=storage)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    write_small_model(path)
    return path


# Sound files


def test_metadata_comes_back_as_it_was_written(small_model: Path) -> None:
    with GGUFFile.open(small_model) as file:
        metadata = dict(file.metadata)
    assert metadata["general.architecture"] == "llama"
    assert metadata["test.uint8"] == 200
    assert metadata["test.int8"] == -100
    assert metadata["test.uint16"] == 60_000
    assert metadata["test.int16"] == -30_000
    assert metadata["test.uint32"] == 4_000_000_000
    assert metadata["test.int32"] == -2_000_000_000
    assert metadata["test.uint64"] == 2**63
    assert metadata["test.int64"] == -(2**62)
    assert metadata["test.float32"] == 0.5
    assert metadata["test.float64"] == 0.1
    assert metadata["test.bool"] is True
    assert metadata["test.string"] == "naïve 你好 🙂"
    assert metadata["test.strings"] == ["a", "", "é"]
    for key, expected in (("integers", [1, -2, 3]), ("floats", [0.5, 1.5]), ("bools", [True, False])):
        assert list(np.asarray(metadata[f"test.{key}"])) == expected


@pytest.mark.parametrize("path", ["small", SHIPPED], ids=["written", "shipped"])
def test_tensors_are_those_that_the_reference_package_reads(path: str | Path, small_model: Path) -> None:
    path = small_model if path == "small" else path
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    with GGUFFile.open(path) as file:
        assert list(file.tensors) == list(tensors)
        for name, tensor in file.tensors.items():
            theirs = tensors[name]
            assert tensor.shape == tuple(int(size) for size in reversed(theirs.shape))
            assert tensor.type.name == theirs.tensor_type.name
            assert np.array_equal(tensor.data, theirs.data.reshape(-1).view(np.uint8))


def test_the_embedded_model_opens_in_a_moment() -> None:
    started = time.thread_time()
    with GGUFFile.open(SHIPPED) as file:
        assert file.architecture == "llama"
        assert len(file.tensors) == 272
    assert time.thread_time() - started < 1.0


def test_the_types_have_the_sizes_that_the_reference_package_knows() -> None:
    for kind in GGMLType:
        theirs = gguf.GGMLQuantizationType[kind.name]
        assert theirs.value == kind
        assert gguf.GGML_QUANT_SIZES[theirs] == (kind.block_size, kind.block_bytes)


def test_the_tensors_bytes_are_views_that_outlive_the_file(small_model: Path) -> None:
    file = GGUFFile.open(small_model)
    tensor = file.tensors["a.weight"]
    assert not tensor.data.flags.owndata, "the bytes were copied"
    expected = bytes(tensor.data)
    file.close()
    assert file.tensors == {}
    assert bytes(tensor.data) == expected


def test_writing_to_a_view_does_not_change_the_file(small_model: Path) -> None:
    before = small_model.read_bytes()
    with GGUFFile.open(small_model) as file:
        file.tensors["a.weight"].data[:] = 0
    assert small_model.read_bytes() == before


def test_a_closed_file_leaves_no_descriptor_open(small_model: Path) -> None:
    gc.collect()
    before = psutil.Process().num_fds()
    for _ in range(5):
        GGUFFile.open(small_model).close()
    assert psutil.Process().num_fds() == before


def test_version_2_is_read(tmp_path: Path) -> None:
    with open_bytes(tmp_path, file_bytes((pair("a", UINT32, u32(7)),), (tensor_info(),), version=u32(2))) as file:
        assert file.metadata["a"] == 7
        assert file.tensors["weight"].shape == (32,)


def test_an_alignment_of_its_own_is_heeded(tmp_path: Path) -> None:
    head_pairs = (pair("general.alignment", UINT32, u32(64)),)
    content = file_bytes(head_pairs, (tensor_info(shape=(1,)),), b"")
    content += bytes(-len(content) % 64) + struct.pack("<f", 2.5)
    with open_bytes(tmp_path, content) as file:
        assert file.tensors["weight"].data.view(np.float32).tolist() == [2.5]


def test_arrays_in_arrays_are_read(tmp_path: Path) -> None:
    inner = u32(STRING) + u64(2) + text("a") + text("b")
    value = u32(ARRAY) + u64(3) + inner + (u32(UINT8) + u64(1) + b"\7") + (u32(ARRAY) + u64(0))
    with open_bytes(tmp_path, file_bytes((pair("nested", ARRAY, value), pair("next", UINT8, b"\1")))) as file:
        assert file.metadata["nested"] == [["a", "b"], np.array([7]), []]
        assert file.metadata["next"] == 1


def test_a_tensor_without_dimensions_is_one_number(tmp_path: Path) -> None:
    with open_bytes(tmp_path, file_bytes((), (tensor_info(shape=()),))) as file:
        assert file.tensors["weight"].shape == ()
        assert len(file.tensors["weight"].data) == 4


def test_a_file_without_architecture_says_so_when_asked(tmp_path: Path) -> None:
    with open_bytes(tmp_path, file_bytes()) as file, pytest.raises(ModelLoadError, match="which architecture"):
        _ = file.architecture


# What is not a file


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"There is no model file none\.gguf\."):
        GGUFFile.open(tmp_path / "none.gguf")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="is not a file"):
        GGUFFile.open(tmp_path)


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.gguf")
    with pytest.raises(ModelLoadError, match=r"fifo\.gguf is not a file"):
        GGUFFile.open(tmp_path / "fifo.gguf")


def test_a_device_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="is not a file"):
        GGUFFile.open("/dev/zero")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"made\.gguf is empty"):
        open_bytes(tmp_path, b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.gguf").write_bytes(b"GGUF")
    (tmp_path / "secret.gguf").chmod(0)
    with pytest.raises(ModelLoadError, match=r"secret\.gguf cannot be read"):
        GGUFFile.open(tmp_path / "secret.gguf")


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ModelLoadError):
        GGUFFile.open("nul\0.gguf")


# What is hostile

NESTED_100K = b"".join(u32(ARRAY) + u64(1) for _ in range(100_000)) + u32(UINT8) + u64(0)

HOSTILE = {
    "another format": (file_bytes(magic=b"PK\3\4"), "not a GGUF file"),
    "three bytes": (b"GGU", "not a GGUF file"),
    "version 1": (file_bytes(version=u32(1)), "version 1, which is obsolete"),
    "version 4": (file_bytes(version=u32(4)), "version 4"),
    "big endian": (file_bytes(version=struct.pack(">I", 3)), "big-endian"),
    "2^63 pairs": (file_bytes(pair_count=HUGE), f"{HUGE} metadata keys"),
    "a million pairs": (file_bytes(pair_count=10**6, data=bytes(20 << 20)), "1000000 metadata keys"),
    "2^63 tensors": (file_bytes(tensor_count=HUGE), f"{HUGE} tensors"),
    "a million tensors": (file_bytes(tensor_count=10**6, data=bytes(40 << 20)), "1000000 tensors"),
    "key of 2^63 bytes": (file_bytes((u64(HUGE) + b"key",)), "past its end"),
    "text of 2^63 bytes": (file_bytes((pair("a", STRING, u64(HUGE)),)), "past its end"),
    "text of 2^64-1 bytes": (file_bytes((pair("a", STRING, u64(2**64 - 1)),)), "past its end"),
    "array of 2^63 bytes": (file_bytes((pair("a", ARRAY, u32(UINT8) + u64(HUGE)),)), f"announces {HUGE} items"),
    "array of 2^61 numbers": (file_bytes((pair("a", ARRAY, u32(UINT64) + u64(2**61)),)), "more than it can hold"),
    "array of 2^63 texts": (file_bytes((pair("a", ARRAY, u32(STRING) + u64(HUGE)),)), "more than it can hold"),
    "array of 2^63 arrays": (file_bytes((pair("a", ARRAY, u32(ARRAY) + u64(HUGE)),)), "more than it can hold"),
    "too many empty texts": (
        file_bytes((pair("a", ARRAY, u32(STRING) + u64(MAX_OBJECTS + 1)),), data=bytes(8 * MAX_OBJECTS + 64)),
        f"more than {MAX_OBJECTS} texts",
    ),
    "100,000 nested arrays": (file_bytes((pair("a", ARRAY, NESTED_100K),)), "nested too deeply"),
    "unknown value type": (file_bytes((pair("a", 13, b""),)), "no metadata type 13"),
    "unknown item type": (file_bytes((pair("a", ARRAY, u32(99) + u64(0)),)), "no metadata type 99"),
    "truth value 2": (file_bytes((pair("a", BOOL, b"\2"),)), "neither 0 nor 1"),
    "key twice": (file_bytes((pair("a", UINT8, b"\1"), pair("a", UINT8, b"\2"))), "'a' appears twice"),
    "key not UTF-8": (file_bytes((pair(b"\xff\xfe", UINT8, b"\1"),)), "not valid UTF-8"),
    "text not UTF-8": (file_bytes((pair("a", STRING, text(b"\xc3\x28")),)), "not valid UTF-8"),
    "tensor name not UTF-8": (file_bytes((), (text(b"\xff") + bytes(40),)), "not valid UTF-8"),
    "alignment 0": (file_bytes((pair("general.alignment", UINT32, u32(0)),)), "alignment"),
    "alignment 3": (file_bytes((pair("general.alignment", UINT32, u32(3)),)), "alignment"),
    "alignment 1": (file_bytes((pair("general.alignment", UINT32, u32(1)),)), "alignment"),
    "alignment a text": (file_bytes((pair("general.alignment", STRING, text("32")),)), "alignment"),
    "alignment true": (file_bytes((pair("general.alignment", BOOL, b"\1"),)), "alignment"),
    "alignment 2^31": (
        file_bytes((pair("general.alignment", UINT32, u32(2**31)),), (tensor_info(),)),
        "ends past its end",
    ),
    "a part of a model": (file_bytes((pair("split.count", UINT32, u32(3)),)), "one of 3 parts"),
    "tensor twice": (file_bytes((), (tensor_info(), tensor_info(offset=128))), "the same name"),
    "five dimensions": (file_bytes((), (tensor_info(shape=(1, 1, 1, 1, 1)),)), "has 5 dimensions"),
    "2^32-1 dimensions": (file_bytes((), (text("a") + u32(2**32 - 1) + bytes(64),)), "4294967295 dimensions"),
    "unknown tensor type": (file_bytes((), (tensor_info(kind=4),)), "unknown type 4"),
    "tensor type 2^32-1": (file_bytes((), (tensor_info(kind=2**32 - 1),)), "unknown type"),
    "size overflows": (file_bytes((), (tensor_info(shape=(2**32, 2**32)),)), "ends past its end"),
    "size overflows to 0": (file_bytes((), (tensor_info(shape=(2**62, 4, 2**62, 4)),)), "ends past its end"),
    "empty dimension": (file_bytes((), (tensor_info(shape=(0, 32)),)), "cannot be of shape"),
    "part of a block": (file_bytes((), (tensor_info(shape=(48,), kind=GGMLType.Q4_1),)), "cannot be of shape"),
    "offset past the end": (file_bytes((), (tensor_info(offset=160),)), "ends past its end"),
    "offset 2^63": (file_bytes((), (tensor_info(offset=HUGE),)), "ends past its end"),
    "end past the end": (file_bytes((), (tensor_info(shape=(33,)),)), "ends past its end"),
    "offset not aligned": (file_bytes((), (tensor_info(shape=(1,), offset=4),)), "is not where a tensor can be"),
    "shared bytes": (file_bytes((), (tensor_info("a"), tensor_info("b", offset=32))), "is not where a tensor can be"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_in_a_moment_without_memory(case: str, tmp_path: Path) -> None:
    content, reason = HOSTILE[case]
    tracemalloc.start()
    started = time.thread_time()
    try:
        with pytest.raises(ModelLoadError, match=reason) as caught:
            open_bytes(tmp_path, content)
        seconds = time.thread_time() - started
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith("made.gguf cannot be loaded: ")
    assert str(caught.value).endswith(".")
    assert seconds < 1.0
    assert peak < len(content) + (1 << 20), "more memory was taken than the file is long"


def open_or_refuse(path: Path) -> None:
    """Anything but a file or a ModelLoadError fails the test, and so does taking a second."""
    started = time.thread_time()
    with suppress(ModelLoadError):
        GGUFFile.open(path).close()
    assert time.thread_time() - started < 1.0


def test_a_file_cut_anywhere_is_refused(small_model: Path, tmp_path: Path) -> None:
    content = small_model.read_bytes()
    places = {len(content) * part // 64 for part in range(64)} | set(range(1, 1500, 7)) | {len(content) - 33}
    for place in sorted(places):
        with pytest.raises(ModelLoadError):
            open_bytes(tmp_path, content[:place])


def test_the_embedded_model_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(SHIPPED.read_bytes())
    size = path.stat().st_size
    for part in (63, 48, 32, 16, 8, 2, 1):
        os.truncate(path, size * part // 64)
        with pytest.raises(ModelLoadError, match="cut short or damaged"):
            GGUFFile.open(path)


def test_flipped_bytes_end_in_a_file_or_a_refusal(small_model: Path, tmp_path: Path) -> None:
    content = small_model.read_bytes()
    chance = random.Random(7)
    path = tmp_path / "flipped.gguf"
    for _ in range(1000):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        path.write_bytes(flipped)
        open_or_refuse(path)


def test_every_byte_of_the_head_may_be_anything(tmp_path: Path) -> None:
    array = pair("b", ARRAY, u32(STRING) + u64(2) + text("x") + text("yz"))
    content = file_bytes(
        (pair("general.alignment", UINT32, u32(32)), array), (tensor_info(), tensor_info("b", (2, 32), 2, 128))
    )
    content += bytes(64)
    path = tmp_path / "changed.gguf"
    head = len(content) - 192
    for place in range(head):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            open_or_refuse(path)
