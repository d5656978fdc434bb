"""What a zipped Office document says it is: the parts that it is made of, and their types.

Nothing of it is unpacked but the list of types, and of that no more than any document has.
"""

import io
import re
import struct
import zipfile
import zlib

_TYPES = "[Content_Types].xml"
MAX_ENTRIES = 2_000
MAX_TYPES_BYTES = 500_000
# What begins an entry of the list of files, and the packings that cost no more than they yield.
_ENTRY = b"PK\x01\x02"
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_FAULTS = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(KeyError, ValueError, RuntimeError, EOFError, OSError),
)


def is_office_document(content: bytes, part: bytes, media: str) -> bool:
    """Return whether bytes are an Office document without macros, of a kind.

    part: the name that its main part usually has. media: the type of the main part, as the list of
    types has it, whatever that part is called.
    """
    if content[:4] != b"PK\x03\x04" or _TYPES.encode() not in content:
        return False
    types = b"" if part in content else _types(content)
    named = part in content or re.search(rb"[\"']" + re.escape(media.encode()) + rb"[\"']", types)
    return bool(named) and b"vbaproject" not in content.lower() + types.lower()


def _types(content: bytes) -> bytes:
    """Return the list of types; nothing where it cannot be read at little cost."""
    if content.count(_ENTRY) > MAX_ENTRIES:
        return b""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entry = archive.getinfo(_TYPES)
            if entry.compress_type not in _PACKINGS:
                return b""
            with archive.open(entry) as types:
                return types.read(MAX_TYPES_BYTES)
    except _FAULTS:
        return b""
