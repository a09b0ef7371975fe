"""What is said on the error stream, and text from outside (names of files, classes, runs) made fit for a terminal."""

import textwrap

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from genas.core.display import visible

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


def say(sentence: str, label: str = "", style: str = "") -> None:
    """One sentence on the error stream, at once: broken between words on a terminal, one line elsewhere.

    Args:
        sentence: any text.
        label: stands before it, in `style` of rich.
        style: of the label.
    """
    console = Console(stderr=True, highlight=False)
    line = f"{label} {plain(sentence)}" if label else plain(sentence)
    if console.is_terminal:
        line = textwrap.fill(
            line, console.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    text = Text(line)
    text.stylize(style, 0, len(label))
    console.print(text, soft_wrap=True)


def warn(sentence: str, quiet: bool = False) -> None:
    """A warning on the error stream."""
    if not quiet:
        say(sentence, "warning:", "bold yellow")


def _shorten(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}...({len(text) - longest // 2 - 20:,} more characters)...{text[-20:]}"
