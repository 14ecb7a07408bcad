"""How does `sha256sum -c` want to be told which file has which digest?"""


def checksum_line(digest: str, name: bytes) -> bytes:
    r"""A line as `sha256sum` writes it and reads it.

    Where the name holds a backslash or a line break, or ends in a carriage return, which `sha256sum` would take for
    the line's, those are escaped and the line begins with a backslash (GNU coreutils manual, "md5sum invocation").
    """
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    if escaped.endswith(b"\r"):
        escaped = escaped[:-1] + b"\\r"
    mark = b"" if escaped == name else b"\\"
    return b"%s%s  %s\n" % (mark, digest.encode("ascii"), escaped)
