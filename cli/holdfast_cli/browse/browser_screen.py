"""The main screen: hosts, the snapshots of a host, folders of a snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.timer import Timer
from textual.worker import get_current_worker

from holdfast.errors import HoldfastError
from holdfast.format.snapshot import Snapshot
from holdfast.operations.tree_walk import root_node
from holdfast_cli.browse import palette, rows
from holdfast_cli.browse.base_screen import Field, Report, keys
from holdfast_cli.browse.entries import Entry, NameFilter, Order, parent_of, sort_entries
from holdfast_cli.browse.folder import Listing, read_folder
from holdfast_cli.browse.list_screen import ListScreen
from holdfast_cli.browse.searches import ChangeSearch, NameSearch
from holdfast_cli.browse.series import Host, Series, deepest_common
from holdfast_cli.browse.text import minute, moment, screen_name, screen_text
from holdfast_cli.browse.widgets import Bar, KeyBar, RowList
from holdfast_cli.output.names import count

_SHOW_EVERY_S = 0.25
"""After this time a large folder is first drawn while it is still read."""
_TYPING_S = 0.15
_ROOMY = 70
"""Columns from which the first line has room for more than a path."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the person is: among hosts, among the snapshots of a host, or in a folder."""

    host: str | None = None
    folder: Entry | None = None


class BrowserScreen(ListScreen):
    """Goes from hosts to snapshots to folders and back."""

    KEYS = (
        ("Enter", "open"), ("⌫", "up"), ("Space", "mark"), ("r", "restore"), ("v", "versions"),
        ("d", "diff"), ("[ ]", "time"), ("f", "find"), ("/", "filter"), ("o", "sort"),
        ("p", "preview"), ("q", "quit"), ("?", "keys"),
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        keys("backspace,left,h", "up"),
        keys("escape", "clear"),
        keys("slash", "filter"),
        keys("f", "find"),
        keys("d", "changes"),
        keys("o", "order"),
        keys("left_square_bracket", "step(-1)"),
        keys("right_square_bracket", "step(1)"),
        keys("ctrl+r,f5", "reload"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()
        self._series = Series()
        self._order = Order.NAME
        self._names = NameFilter("")
        self._asking = ""
        self._asking_timer: Timer | None = None
        self._listing = Listing(done=True)
        self._earlier: Snapshot | None = None
        self._starts: dict[str, bytes] = {}
        """Snapshot -> the folder at which it was entered: up leads out of it from there."""
        self._loading = True

    def on_mount(self) -> None:
        """Read the snapshots."""
        super().on_mount()
        self.show_title()
        self.rows.show((), (), lambda _item: rows.Row(()), empty="reading the snapshots …")
        self.action_reload()

    def action_reload(self) -> None:
        """Read the snapshots anew."""
        library = self.browser.library

        def read() -> tuple[Series, tuple[Entry, bytes] | None]:
            series = library.load()
            return series, self.browser.find_start(series)

        self._loading = True
        self.in_thread(read, self._loaded, failed=self._not_loaded)

    def _not_loaded(self, error: HoldfastError) -> None:
        """Without snapshots there is nothing to show; later what is known stays."""
        self._loading = False
        if self.browser.series.snapshots:
            self.tell_error(error)
        else:
            self.browser.fail(error)

    def _loaded(self, found: tuple[Series, tuple[Entry, bytes] | None]) -> None:
        first = self._loading and not self._series.snapshots
        self._loading = False
        self._series, start = found
        self.browser.series = self._series
        if first and start is not None:
            folder, path = start
            self._starts[folder.snapshot.id] = self._start_path(folder)
            self.go(Place(folder.snapshot.host, folder), select=path)
        elif first and len(self._series.hosts) == 1:
            self.go(Place(self._series.hosts[0].name))
        else:
            self.go(self.place)

    @staticmethod
    def _start_path(folder: Entry) -> bytes:
        """Return the folder above which there is nothing to choose from."""
        common = deepest_common(folder.snapshot.raw_paths)
        return common if (folder.path + b"/").startswith(common.rstrip(b"/") + b"/") else b"/"

    # -- where we are ----------------------------------------------------------------------------

    def go(self, place: Place, select: object = None) -> None:
        """Show a place.

        Args:
            place: where to.
            select: name of a host, id of a snapshot or path of an entry for the cursor.
        """
        if place != self.place:
            self._names = NameFilter("")
        self.place = place
        self._note = ""
        self.show_title()
        if place.folder is not None:
            self._read(place.folder, select)
        elif place.host is not None:
            self._list_snapshots(place.host, select)
        else:
            self._list_hosts(select)

    def _list_hosts(self, select: object) -> None:
        hosts = [host for host in self._series.hosts if self._fits(rows.host_row(host))]
        cursor = next((at for at, host in enumerate(hosts) if host.name == select), 0)
        empty = "no snapshots; `holdfast backup PATH` makes one"
        self.rows.show(rows.HOST_COLUMNS, hosts, rows.host_row, cursor=cursor, empty=empty)

    def _list_snapshots(self, host: str, select: object) -> None:
        newest_first = reversed(self._series.of_host(host))
        shown = [snapshot for snapshot in newest_first if self._fits(self._snapshot_row(snapshot))]
        cursor = next((at for at, snapshot in enumerate(shown) if snapshot.id == select), 0)
        self.rows.show(
            rows.SNAPSHOT_COLUMNS, shown, self._snapshot_row, cursor=cursor, empty="nothing fits"
        )

    def _snapshot_row(self, snapshot: Snapshot) -> rows.Row:
        return rows.snapshot_row(snapshot, self.browser.marks, root_of(snapshot))

    def _folder_row(self, entry: Entry) -> rows.Row:
        return rows.folder_row(entry, self.browser.marks)

    def _fits(self, row: rows.Row) -> bool:
        wanted = self._names.text.casefold()
        return not wanted or any(wanted in cell.casefold() for cell in row.cells)

    def _read(self, folder: Entry, select: object) -> None:
        """Read a folder in a thread, and show it as far as it is known."""
        library, names = self.browser.library, self._names
        self._earlier = earlier = self._series.previous(folder.snapshot)
        listing = self._listing = Listing()

        def run() -> None:
            worker = get_current_worker()
            pause_s = _SHOW_EVERY_S
            next_s = time.monotonic() + pause_s
            try:
                before = None if earlier is None else library.find_like(folder, earlier)
                for _ in read_folder(
                    library, folder, before, names, listing, stopped=lambda: worker.is_cancelled
                ):
                    if time.monotonic() > next_s:
                        self._report_listing(listing, select)
                        pause_s *= 2  # each time all that is known is sorted
                        next_s = time.monotonic() + pause_s
            except HoldfastError as error:
                failure = error
                self.post_message(Report(lambda: self.tell_error(failure)))
            self._report_listing(listing, select)

        self.run_worker(run, thread=True, exclusive=True, group="folder")

    def _report_listing(self, listing: Listing, select: object) -> None:
        """Have the terminal's thread show what was read so far."""
        entries = sort_entries(listing.entries, self._order)
        self.post_message(Report(lambda: self._show_listing(listing, entries, select)))

    def _show_listing(self, listing: Listing, entries: list[Entry], select: object) -> None:
        if listing is not self._listing:
            return  # the person is somewhere else meanwhile
        current = self.rows.current
        if select is None and isinstance(current, Entry):
            select = current.path
        cursor = next((at for at, entry in enumerate(entries) if entry.path == select), 0)
        empty = "this folder is empty" if not self._names else "nothing fits"
        if not listing.done:
            empty = "reading …"
        self.rows.show(rows.FOLDER_COLUMNS, entries, self._folder_row, cursor=cursor, empty=empty)

    # -- the bars --------------------------------------------------------------------------------

    def show_title(self) -> None:
        """Show where we are; where there is no room, the path only."""
        parts, right = [("holdfast", palette.MARK)], []
        arrow = (" › ", palette.FAINT)
        place, roomy = self.place, self.size.width >= _ROOMY
        if place.host is None:
            parts += [arrow, (screen_text(self.browser.library.location), palette.BOLD)]
        elif roomy or place.folder is None:
            parts += [arrow, (screen_text(place.host), palette.BOLD)]
        if place.folder is not None:
            snapshot = place.folder.snapshot
            if roomy:
                parts += [arrow, (moment(snapshot.time_ns), palette.PLAIN), arrow]
            else:
                parts = [(minute(snapshot.time_ns), palette.PLAIN), arrow]
            parts.append((screen_name(place.folder.path), palette.BOLD))
            line = [other.id for other in self._series.line_of(snapshot)]
            if snapshot.id in line and roomy:
                right.append((f"{line.index(snapshot.id) + 1} of {len(line)} ", palette.PLAIN))
        self.query_one("#title", Bar).show(parts, right)

    def status_text(self) -> str:
        """Tell how much there is, and what is not shown."""
        if self._loading:
            return "reading …"
        if self.place.folder is None:
            what = "snapshot" if self.place.host is not None else "host"
            return self._filter_text() + count(len(self.rows.items), what)
        listing = self._listing
        words = ["1 entry" if listing.total == 1 else f"{listing.total:,} entries"]
        if self._names:
            words[0] = f"{self._filter_text()}{listing.matching:,} of {listing.total:,}"
        if listing.left_out:
            words.append(f"the first {len(listing.entries):,} are listed, / finds the others")
        if listing.damaged:
            words.append("a part of this folder is DAMAGED")
        if self._order != Order.NAME:
            words.append(f"by {self._order.value}")
        if listing.removed and self._earlier is not None:
            words.append(f"{listing.removed:,} gone since {moment(self._earlier.time_ns)[4:20]}")
        if not listing.done:
            words.append("reading …")
        return " · ".join(words)

    def _filter_text(self) -> str:
        return f"“{screen_text(self._names.text)}” " if self._names else ""

    # -- moving ----------------------------------------------------------------------------------

    def entry_of(self, item: object) -> Entry | None:
        """A mark on a snapshot marks all of it."""
        return root_of(item) if isinstance(item, Snapshot) else super().entry_of(item)

    def action_mark_all(self) -> None:
        """Mark everything in the list, if that is what people think it is."""
        if self.place.folder is not None and (self._listing.left_out or not self._listing.done):
            self.tell(
                "not everything in this folder is listed: mark the folder itself, one level up"
            )
        else:
            super().action_mark_all()

    @on(RowList.Chosen)
    def _choose(self, message: RowList.Chosen) -> None:
        message.stop()
        item = self.rows.current
        if isinstance(item, Host):
            self.go(Place(item.name))
        elif isinstance(item, Snapshot):
            self.in_thread(lambda: self.browser.library.start_of(item), self._enter)
        elif isinstance(item, Entry):
            if item.is_directory:
                self.go(Place(item.snapshot.host, item))
            elif item.is_file:
                self.browser.view(item)
            else:
                self.tell("only files and folders can be looked into; p shows what this is")

    def _enter(self, folder: Entry) -> None:
        self._starts[folder.snapshot.id] = folder.path
        self.go(Place(folder.snapshot.host, folder))

    def action_up(self) -> None:
        """Go to the folder above, to the snapshots, or to the hosts."""
        folder = self.place.folder
        if folder is None:
            if self.place.host is not None:
                self.go(Place(), select=self.place.host)
            return
        if folder.path in (b"/", self._starts.get(folder.snapshot.id)):
            self.go(Place(folder.snapshot.host), select=folder.snapshot.id)
            return
        above = parent_of(folder.path)
        self.in_thread(
            lambda: self.browser.library.find(folder.snapshot, above),
            lambda found: self.go(Place(folder.snapshot.host, found), select=folder.path),
        )

    def action_step(self, step: int) -> None:
        """Show the same folder in the next older or newer snapshot."""
        folder = self.place.folder
        if folder is None:
            self.tell("go into a folder: the keys [ and ] show it as it was earlier and later")
            return
        other = self._series.neighbour(folder.snapshot, step)
        if other is None:
            self.tell("this is the oldest snapshot" if step < 0 else "this is the newest snapshot")
            return
        current = self.rows.current
        select = current.node.name if isinstance(current, Entry) else None

        def show(found: Entry | None) -> None:
            if found is None or not found.is_directory:
                self.tell(f"this folder is not in the snapshot of {moment(other.time_ns)}")
                return
            self._starts.setdefault(other.id, self._starts.get(folder.snapshot.id, b"/"))
            path = None if select is None else found.path.rstrip(b"/") + b"/" + select
            names = self._names
            self.place = Place(other.host, found)
            self._names = names
            self.go(self.place, select=path)

        self.in_thread(lambda: self.browser.library.find_like(folder, other), show)

    def action_order(self) -> None:
        """Sort the folder by name, size or time."""
        if self.place.folder is None:
            return
        self._order = self._order.next()
        self._note = ""
        current = self.rows.current
        select = current.path if isinstance(current, Entry) else None
        entries = sort_entries(self._listing.entries, self._order)
        self._show_listing(self._listing, entries, select)

    def show_entry(self, entry: Entry) -> None:
        """Show the folder of an entry with the cursor on it."""
        self.in_thread(
            lambda: self.browser.library.find(entry.snapshot, entry.parent),
            lambda folder: self.go(Place(folder.snapshot.host, folder), select=entry.path),
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While something is typed letters are letters."""
        if self._asking and action != "clear":
            return False
        return super().check_action(action, parameters)

    # -- asking ----------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """List only what has a name that is typed."""
        self._ask("filter", "filter: a part of the name, or a pattern like *.odt", self._names.text)

    def action_find(self) -> None:
        """Find names in this folder and below."""
        if self._folder_for_search() is None:
            self.tell("go to a snapshot or into a folder first")
            return
        self._ask("find", "find below here: a part of the name, or a pattern like *.odt", "")

    def _ask(self, what: str, placeholder: str, value: str) -> None:
        self._asking = what
        help_keys = {
            "filter": (("Enter", "keep this filter"), ("Esc", "list everything again")),
            "find": (("Enter", "find in this folder and all below"), ("Esc", "cancel")),
        }
        self.query_one("#keys", KeyBar).show(help_keys[what])
        field = self.query_one("#ask", Field)
        field.placeholder = placeholder
        field.value = value
        self.add_class("asking")
        self.set_focus(field)

    def _stop_asking(self) -> None:
        self._asking = ""
        self.query_one("#keys", KeyBar).show(self.KEYS)
        self.remove_class("asking")
        self.set_focus(self.rows)

    @on(Field.Changed, "#ask")
    def _typed(self, message: Field.Changed) -> None:
        if self._asking == "filter":
            self._after_typing(lambda: self._set_filter(message.value))

    def _after_typing(self, act: Callable[[], None]) -> None:
        if self._asking_timer is not None:
            self._asking_timer.stop()
        self._asking_timer = self.set_timer(_TYPING_S, act)

    def _set_filter(self, text: str) -> None:
        if text != self._names.text:
            self._names = NameFilter(text)
            self.go(self.place)

    @on(Field.Submitted, "#ask")
    def _asked(self, message: Field.Submitted) -> None:
        asked = self._asking
        self._stop_asking()
        if asked == "filter":
            self._set_filter(message.value)
        elif asked == "find" and message.value:
            names = NameFilter(message.value)
            self._search(lambda folder: NameSearch(self.browser.library, folder, names))

    def action_clear(self) -> None:
        """Stop asking; take the filter away; without either go up."""
        if self._asking:
            asked = self._asking
            self._stop_asking()
            if asked == "filter":
                self._set_filter("")
        elif self._names:
            self._set_filter("")
        else:
            self.action_up()

    # -- searches --------------------------------------------------------------------------------

    def _folder_for_search(self) -> Entry | None:
        if self.place.folder is not None:
            return self.place.folder
        item = self.rows.current
        return root_of(item) if isinstance(item, Snapshot) else None

    def _search(self, make: Callable[[Entry], NameSearch | ChangeSearch]) -> None:
        folder = self._folder_for_search()
        if folder is not None:
            self.browser.show_results(make(folder), folder.path)

    def action_changes(self) -> None:
        """List what changed in this folder, or in this snapshot, since the one before."""
        folder = self._folder_for_search()
        if folder is None:
            self.tell("go to a snapshot or into a folder: its changes are listed")
            return
        earlier = self._series.previous(folder.snapshot)
        if earlier is None:
            self.tell("there is no earlier snapshot of this host and these paths to compare with")
            return
        self._search(lambda found: ChangeSearch(self.browser.library, found, earlier))


def root_of(snapshot: Snapshot) -> Entry:
    """Return all of a snapshot as an entry."""
    return Entry(snapshot, b"/", root_node(snapshot.root))
