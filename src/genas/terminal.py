"""Text that comes from outside (names of files, classes, runs, arguments), made fit for a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from genas.display import visible

LONGEST = 1000  # characters of one word that are shown
WHOLE = 6000  # and of a whole text


def plain(text: object) -> str:
    """`text` without control characters, which are written as Python's escapes; huge texts are shortened.

    What a file, a class or an argument is called reaches the screen as it is spelled and never acts on the terminal.
    """
    short = _shorten(" ".join(_shorten(word, LONGEST) for word in str(text).split(" ")), WHOLE)
    return visible(short, keep="")


def literal(text: object) -> str:
    """`plain`, with rich's markup escaped: ``[bold]`` in a name is shown, not obeyed."""
    return escape(plain(text))


def warn(sentence: str, quiet: bool = False) -> None:
    """A warning on the error stream."""
    if not quiet:
        tell("warning:", "bold yellow", sentence)


def tell(label: str, style: str, sentence: str) -> None:
    """One sentence on the error stream: broken between words on a terminal, one line elsewhere."""
    console = Console(stderr=True, highlight=False)
    console.print(Text.assemble((label, style), " ", plain(sentence)), soft_wrap=not console.is_terminal)


def _shorten(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}...({len(text) - longest // 2 - 20:,} more characters)...{text[-20:]}"
