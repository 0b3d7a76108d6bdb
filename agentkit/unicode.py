"""Text that JSON, terminals and logs can hold."""


def as_unicode(text: str) -> str:
    """`text` with what is not Unicode written as escapes: names of files may have it, and so may
    errors that quote them."""
    return text.encode(errors="backslashreplace").decode()
