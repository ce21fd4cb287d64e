"""Which ids a file has had so far, in little memory: names are kept as hashes, in a table of open addresses."""

from array import array

FIRST = 1 << 10  # places of an empty table; always a power of two
FULL = 0.6  # part of the places in use at which the table grows


class Ids:
    """Remembers ids with the line on which each came first; about 20 to 40 bytes an id.

    Two ids are taken for one where their 64-bit hashes are equal: of a hundred million ids, once in 3,000 files.

    >>> ids = Ids()
    >>> ids.seen("P1", 1), ids.seen("P2", 3), ids.seen("P1", 5)
    (0, 0, 1)
    """

    def __init__(self) -> None:
        self.count = 0
        self._clear(FIRST)

    def __len__(self) -> int:
        return self.count

    def seen(self, name: str, line: int) -> int:
        """Return the line, 1 or more, on which `name` came before; 0 where it did not, and then remember `line`."""
        code = (hash(name) & 0xFFFFFFFFFFFFFFFF) or 1  # 0 marks a place that is free
        place = self._place(code)
        if self._codes[place]:
            return self._lines[place]
        self._codes[place], self._lines[place] = code, line
        self.count += 1
        if self.count > FULL * len(self._codes):
            self._grow()
        return 0

    def _clear(self, places: int) -> None:
        self._codes = array("Q", bytes(8 * places))
        self._lines = array("Q", bytes(8 * places))

    def _place(self, code: int) -> int:
        """Return where a code stands, or the free place where it would."""
        codes, mask = self._codes, len(self._codes) - 1
        place = code & mask
        while codes[place] and codes[place] != code:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        codes, lines = self._codes, self._lines
        self._clear(2 * len(codes))
        for code, line in zip(codes, lines, strict=True):
            if code:
                place = self._place(code)
                self._codes[place], self._lines[place] = code, line
