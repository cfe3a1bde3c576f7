"""CIFAR-10 as its owners distribute it: batches pickled by Python 2, in a tar.gz or unpacked."""

import io
import tarfile

import numpy as np

FOLDER = "cifar-10-batches-py"
# The owners' archive holds its members in this order.
ORDER = (
    "data_batch_4", "readme.html", "test_batch", "data_batch_3", "batches.meta", "data_batch_2", "data_batch_5",
    "data_batch_1",
)  # fmt: skip


def write_cifar(root, rows=20, test_rows=30, packed=True):
    """Write all batches, `rows` images in each of the five of train; returns part -> (images, labels)."""
    rng = np.random.default_rng(2)
    files = {"readme.html": b"<html/>", "batches.meta": python2_pickle({b"label_names": [b"airplane"]})}
    made = {"train": [], "test": []}
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        n = test_rows if name == "test_batch" else rows
        data, labels = rng.integers(0, 256, (n, 3072), dtype=np.uint8), rng.integers(0, 10, n)
        files[name] = batch(data, labels.tolist(), name)
        made["test" if name == "test_batch" else "train"].append((data.reshape(-1, 3, 32, 32), labels))
    if packed:
        pack(root / "cifar-10-python.tar.gz", {f"{FOLDER}/{name}": files[name] for name in ORDER})
    else:
        (root / FOLDER).mkdir(exist_ok=True)
        for name, content in files.items():
            (root / FOLDER / name).write_bytes(content)
    return {part: tuple(map(np.concatenate, zip(*pieces, strict=True))) for part, pieces in made.items()}


def batch(data, labels, name="data_batch_1"):
    """One batch file."""
    filenames = [b"x_s_%06d.png" % i for i in range(len(labels))]
    return python2_pickle(
        {b"batch_label": name.encode(), b"labels": labels, b"data": data, b"filenames": filenames}
    )


def pack(archive, members):
    """Write a tar.gz of name -> bytes."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def python2_pickle(value):
    """Pickle dicts, lists, bytes, numbers and arrays of bytes with the opcodes and module names of 2009."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value):
    if isinstance(value, dict):
        return b"}(" + b"".join(_opcodes(k) + _opcodes(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_opcodes, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_opcodes, value)) + b"t"
    if isinstance(value, bytes):  # a str of Python 2
        return b"T" + len(value).to_bytes(4, "little") + value
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + value.to_bytes(4, "little", signed=True)
    kind = (
        b"cnumpy\ndtype\n"
        + _opcodes((b"u1", 0, 1))
        + b"R"
        + _opcodes((3, b"|", None, None, None, -1, -1, 0))
        + b"b"
    )
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + _opcodes((0,)) + _opcodes(b"b") + b"tR"
    state = b"(" + _opcodes(1) + _opcodes(value.shape) + kind + _opcodes(False) + _opcodes(value.tobytes()) + b"t"
    return empty + state + b"b"
