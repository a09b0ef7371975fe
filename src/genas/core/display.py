"""Text that came from outside (names of files, classes and runs) as people may see it."""


def visible(text: object, keep: str = "\n\t") -> str:
    """The text with every character that does not print, such as an escape code, shown by its escaped code.

    Args:
        text: anything; names of files, classes and data sets may hold any character.
        keep: characters that stay as they are although they do not print.

    Returns:
        Text that changes neither a terminal's state nor the validity of a page.
    """
    whole = str(text)
    if whole.isprintable():
        return whole
    return "".join(one if one.isprintable() or one in keep else _escaped(one) for one in whole)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
