"""Torch files made by hand: any pickle, any members, any claims of a zip archive."""

import io
import struct
import zipfile

import torch


def members_of(content, **settings):
    """What torch.save writes: bytes by the names of members, ``data.pkl`` among them."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **settings)
    with zipfile.ZipFile(buffer) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write_archive(path, members, *, root="archive", compression=zipfile.ZIP_STORED):
    """Write members into a file laid out as torch's."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"{root}/{name}", data)
    return path


def write_directory(path, names, n_bytes):
    """Write an archive that is all directory: each member claims so many bytes at the start."""
    fields = [20, 20, *[0] * 5, n_bytes, n_bytes]
    entries = b"".join(
        struct.pack("<4s7H3I5H2I", b"PK\1\2", *fields[:7], 0, *fields[7:], len(name), *[0] * 6)
        + name
        for name in names
    )
    start = b"PK\3\4" + bytes(26)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, len(entries), len(start), 0)
    path.write_bytes(start + entries + end)
    return path
