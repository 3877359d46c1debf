"""The browser's colours. With NO_COLOR textual turns them into shades of grey."""

from __future__ import annotations

from typing import Final

from rich.style import Style

from holdfast_cli.browse.entries import Sign
from holdfast_cli.browse.preview import Tone
from holdfast_cli.browse.rows import RowTone

BACKGROUND: Final = "#14171c"
PANEL: Final = "#262a31"
BAR: Final = "#22406b"
CURSOR: Final = "#2d5488"
TEXT: Final = "#d6dce6"
DIM: Final = "#8590a2"
ACCENT: Final = "#ffc66d"
GREEN: Final = "#86d694"
RED: Final = "#f28b82"
BLUE: Final = "#86b8ff"
CYAN: Final = "#7cd5d2"

ROW_STYLES: Final = {
    RowTone.PLAIN: Style(color=TEXT),
    RowTone.PLACE: Style(color=BLUE, bold=True),
    RowTone.LINK: Style(color=CYAN),
    RowTone.SPECIAL: Style(color=ACCENT),
    RowTone.GONE: Style(color=RED, strike=True),
}
SIGN_STYLES: Final = {
    Sign.SAME: Style(),
    Sign.ADDED: Style(color=GREEN, bold=True),
    Sign.REMOVED: Style(color=RED, bold=True),
    Sign.CONTENT: Style(color=ACCENT, bold=True),
    Sign.METADATA: Style(color=DIM, bold=True),
    Sign.TYPE: Style(color=ACCENT, bold=True),
    Sign.RENAMED: Style(color=CYAN, bold=True),
}
TONE_STYLES: Final = {
    Tone.PLAIN: Style(color=TEXT),
    Tone.TITLE: Style(color=TEXT, bold=True),
    Tone.LABEL: Style(color=BLUE),
    Tone.DIM: Style(color=DIM),
    Tone.GOOD: Style(color=GREEN),
    Tone.BAD: Style(color=RED),
    Tone.NOTE: Style(color=ACCENT),
}
PLAIN: Final = Style(color=TEXT)
FAINT: Final = Style(color=DIM)
BOLD: Final = Style(color=TEXT, bold=True)
MARK: Final = Style(color=ACCENT, bold=True)
KEY: Final = Style(color=ACCENT, bold=True)
ON_CURSOR: Final = Style(bgcolor=CURSOR)
THUMB: Final = Style(color=BLUE)
TRACK: Final = Style(color="#2c3542")

CSS: Final = f"""
Screen {{ background: {BACKGROUND}; color: {TEXT}; layers: base; }}
#title {{ height: 1; background: {BAR}; color: {TEXT}; }}
#status {{ height: 1; background: {PANEL}; color: {DIM}; }}
#keys {{ height: 1; background: {BACKGROUND}; color: {DIM}; }}
#body {{ height: 1fr; }}
RowList {{ width: 1fr; height: 1fr; background: {BACKGROUND}; }}
LinesView {{ width: 1fr; height: 1fr; background: {BACKGROUND}; }}
#preview {{ background: {PANEL}; padding: 0 1; display: none; }}
.wide #preview {{ display: block; width: 42%; }}
.low #preview {{ display: block; height: 45%; width: 1fr; }}
.low #body {{ layout: vertical; }}
#body {{ layout: horizontal; }}
.low #body {{ layout: vertical; }}
#ask {{ height: 1; border: none; padding: 0 1; background: {PANEL}; color: {TEXT}; display: none; }}
#ask:focus {{ border: none; background: {PANEL}; }}
.asking #ask {{ display: block; }}
.asking #status {{ display: none; }}
DialogScreen {{ align: center middle; background: {BACKGROUND} 60%; }}
#dialog {{ width: 76; max-width: 100%; height: auto; max-height: 100%; background: {PANEL};
  border: round {BLUE}; padding: 0 2; }}
#dialog Field {{ height: 3; border: tall {BAR}; background: {BACKGROUND}; color: {TEXT};
  padding: 0 1; }}
#dialog Field:focus {{ border: tall {BLUE}; }}
#dialog Static {{ height: auto; }}
"""
