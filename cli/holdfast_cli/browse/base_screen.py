"""What all screens have in common: keys in the order in which they were typed, work in threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar, cast

from textual import events, on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input
from textual.worker import get_current_worker

from holdfast.errors import HoldfastError, IntegrityError
from holdfast_cli.browse.text import screen_text

if TYPE_CHECKING:
    from holdfast_cli.browse.app import BrowseApp

T = TypeVar("T")


def keys(names: str, action: str) -> Binding:
    """Return a binding of keys that acts before the next key is looked at.

    Without priority a key travels through the queues of widgets, and a slow line delivers several
    keys at once: what a key opens would come too late for the next one.
    """
    return Binding(names, action, show=False, priority=True)


class Report(Message):
    """Something that a thread wants to be done in the thread of the terminal."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act = act


class BaseScreen(Screen[None]):
    """A screen of the browser."""

    BINDINGS: ClassVar[list[BindingType]] = [
        keys("question_mark,f1", "help"),
        keys("q", "quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.ready = False
        """Whether its widgets are there."""

    @property
    def browser(self) -> BrowseApp:
        """The program, which has the model."""
        return cast("BrowseApp", self.app)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Let keys act once there is something that they can act upon."""
        return self.ready and super().check_action(action, parameters)

    def in_thread(
        self,
        work: Callable[[], T],
        then: Callable[[T], None],
        *,
        failed: Callable[[HoldfastError], None] | None = None,
        group: str = "work",
    ) -> None:
        """Do something that may take a while, then go on with its result.

        Args:
            work: done in a thread.
            then: gets the result, in the thread of the terminal; as does
            failed: its error; without it errors are shown.
            group: a newer one of the same group lets an older one's result vanish.
        """
        fail = failed or self.tell_error

        def run() -> None:
            worker = get_current_worker()
            try:
                result = work()
            except HoldfastError as error:
                failure = error  # the name of an except clause ends with it
                if not worker.is_cancelled:
                    self.post_message(Report(lambda: fail(failure)))
                return
            self.post_message(Report(lambda: None if worker.is_cancelled else then(result)))

        self.run_worker(run, thread=True, exclusive=True, group=group)

    @on(Report)
    def _act(self, report: Report) -> None:
        report.stop()
        report.act()

    def tell(self, sentence: str) -> None:
        """Show a sentence until something else happens."""

    def tell_error(self, error: HoldfastError) -> None:
        """Show what went wrong."""
        if isinstance(error, IntegrityError):
            self.browser.library.note(error)
        self.tell(screen_text(str(error)))

    def action_help(self) -> None:
        """Explain the keys."""
        self.browser.show_help()

    def action_quit(self) -> None:
        """End the program."""
        self.browser.action_leave()


_EDITING: Final = {
    "backspace": "delete_left",
    "ctrl+h": "delete_left",
    "delete": "delete_right",
    "ctrl+w": "delete_left_word",
    "ctrl+u": "delete_left_all",
    "ctrl+k": "delete_right_all",
    "left": "cursor_left",
    "right": "cursor_right",
    "home": "home",
    "ctrl+a": "home",
    "end": "end",
    "ctrl+e": "end",
}


class Field(Input):
    """A line to type into, which obeys keys in the order in which they come.

    Textual's own handles letters at once and other keys after a way through several queues.
    """

    async def _on_key(self, event: events.Key) -> None:
        action = _EDITING.get(event.key)
        if action is None and event.key != "enter":
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        if action is None:
            await self.action_submit()
        else:
            getattr(self, f"action_{action}")()
