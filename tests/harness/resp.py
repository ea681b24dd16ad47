"""Cut a byte stream into RESP commands and count its replies, without touching a byte."""

import hiredis

Args = tuple[bytes, ...]


class CommandParser:
    """Splits what a client sends into whole commands, however it was chunked."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, Args]]:
        """The commands completed by `data`, each as its exact bytes and its arguments."""
        self._buffer += data
        commands: list[tuple[bytes, Args]] = []
        taken = 0
        while (found := self._command_at(taken)) is not None:
            end, args = found
            commands.append((bytes(self._buffer[taken:end]), args))
            taken = end
        del self._buffer[:taken]
        return commands

    def _command_at(self, start: int) -> tuple[int, Args] | None:
        if (line := self._line_at(start)) is None:
            return None
        head, position = line
        if not head.startswith(b"*"):  # inline command
            return position, tuple(head.split())
        args: list[bytes] = []
        for _ in range(int(head[1:])):
            if (line := self._line_at(position)) is None:
                return None
            size, position = line
            end = position + int(size[1:])
            if len(self._buffer) < end + 2:
                return None
            args.append(bytes(self._buffer[position:end]))
            position = end + 2
        return position, tuple(args)

    def _line_at(self, start: int) -> tuple[bytes, int] | None:
        end = self._buffer.find(b"\r\n", start)
        return None if end < 0 else (bytes(self._buffer[start:end]), end + 2)


class ReplyCounter:
    """Counts whole replies in what a server sends; RESP3 pushes are not replies."""

    def __init__(self) -> None:
        self._incomplete = object()
        self._reader = hiredis.Reader(notEnoughData=self._incomplete)

    def feed(self, data: bytes) -> int:
        """How many replies `data` completed."""
        self._reader.feed(data)
        count = 0
        while (reply := self._reader.gets()) is not self._incomplete:
            count += not isinstance(reply, hiredis.PushNotification)
        return count
