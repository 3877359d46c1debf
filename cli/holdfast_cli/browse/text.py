r"""Text for a screen of cells: names and contents of any bytes, clipped to a width. Pure.

A screen is stricter than a pipe: what is no printable character would move the cursor or take no
cell, so all of it is shown as an escape like \x1b, bytes that are not UTF-8 too.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from rich.cells import cell_len, set_cell_size

from holdfast_cli.times import format_local

_TAB: Final = 8
_LONGEST_LINE: Final = 2000
"""Characters of a line that are shown; minified files have lines of megabytes."""
_HEX_WIDTH: Final = 16
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SAMPLE: Final = 8192


def screen_text(text: str) -> str:
    r"""Return `text` with everything that is not printable as an escape."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else _escape(character) for character in text
    )


def screen_name(name: bytes) -> str:
    """Return a name or path of any bytes for the screen."""
    return screen_text(name.decode("utf-8", "surrogateescape"))


def _escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{number - 0xDC00:02x}"
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def clip(text: str, width: int, *, right: bool = False) -> str:
    """Return exactly `width` cells of `text`: padded, or cut with an ellipsis at its end.

    Args:
        text: printable.
        width: cells; below 1 gives nothing.
        right: pad on the left.
    """
    if width < 1:
        return ""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    padding = " " * (width - length)
    return padding + text if right else text + padding


def clip_path(text: str, width: int) -> str:
    """Return at most `width` cells of a path; of a long one the end, which tells more."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) >= width:
        text = text[1:]
    return "…" + text if width > 0 else ""


def is_text(data: bytes, *, whole: bool) -> bool:
    """Tell whether bytes are text in UTF-8: no control characters but those of text.

    Args:
        data: the beginning of a file.
        whole: whether it is all of it; otherwise a character may be cut off at the end.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if whole or error.start < len(data) - 3 or error.reason != "unexpected end of data":
            return False
        text = data[: error.start].decode("utf-8")
    return not any(
        character < " " and character not in "\t\n\r\f\x1b\b" for character in text[:_SAMPLE]
    )


def text_lines(data: bytes) -> list[str]:
    """Return the lines of a text for the screen: tabs expanded, escapes visible, long ones cut."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [_line(line) for line in lines]


def _line(line: str) -> str:
    line = line.removesuffix("\r")
    cut = len(line) > _LONGEST_LINE
    if cut:
        line = line[:_LONGEST_LINE]
    return screen_text(line.expandtabs(_TAB)) + ("…" if cut else "")


def hex_lines(data: bytes, offset: int = 0) -> list[str]:
    """Return lines of 16 bytes: offset, the bytes in hex, and as ASCII."""
    lines = []
    for at in range(0, len(data), _HEX_WIDTH):
        piece = data[at : at + _HEX_WIDTH]
        left, right = piece[:8].hex(" "), piece[8:].hex(" ")
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in piece)
        lines.append(f"{offset + at:08x}  {left:<23}  {right:<23}  {shown}")
    return lines


def moment(time_ns: int) -> str:
    """Return "Tue 2026-11-17 08:30:00": people look for last Tuesday's snapshot."""
    text = format_local(time_ns)
    try:
        day = _DAYS[date.fromisoformat(text[:10]).weekday()]
    except ValueError:  # a year that calendars do not know
        return text
    return f"{day} {text}"


def minute(time_ns: int) -> str:
    """Return "2026-11-17 08:30"."""
    text = format_local(time_ns)
    return text[:16] if len(text) == 19 else text
