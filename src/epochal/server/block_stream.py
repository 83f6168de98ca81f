"""Cuts the body of an upload into its blocks while it arrives."""

from __future__ import annotations

from epochal.server.failures import RequestError

_HEAD = 4  # bytes of the length before each block, u32 little-endian


class UploadTooLargeError(RequestError):
    """A body of blocks that is larger than this server takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            413,
            "body_too_large",
            f"The body has more than {limit} bytes.",
            "Send fewer blocks at once, or start the server with a larger --max-upload-bytes.",
            "body",
            max_bytes=limit,
        )


class BlockSplitter:
    """Takes a body in any parts.

    Args:
        max_bytes: of the body.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._rest = bytearray()
        self._blocks: list[bytes] = []

    def feed(self, part: bytes) -> None:
        """Take the next part.

        Raises:
            UploadTooLargeError: the body, or what a block says of its length, is above the limit.
        """
        self._n_bytes += len(part)
        if self._n_bytes > self._max_bytes:
            raise UploadTooLargeError(self._max_bytes)
        self._rest += part
        at = 0
        while len(self._rest) - at >= _HEAD:
            length = int.from_bytes(self._rest[at : at + _HEAD], "little")
            if length > self._max_bytes - _HEAD:
                raise UploadTooLargeError(self._max_bytes)
            end = at + _HEAD + length
            if end > len(self._rest):
                break
            self._blocks.append(bytes(self._rest[at + _HEAD : end]))
            at = end
        del self._rest[:at]

    def finish(self) -> list[bytes]:
        """Return the blocks, each as `wire.block.encode` made it.

        Raises:
            RequestError: the body ends within a block.
        """
        if self._rest:
            raise RequestError(
                400,
                "body_cut_short",
                f"The body ends within its block number {len(self._blocks)}.",
                "Each block comes after its length in bytes, a u32 in little-endian.",
                "body",
            )
        return self._blocks
