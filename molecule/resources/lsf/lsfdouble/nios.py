# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire between an interactive bsub ("nios" in LSF) and its job: frames of kind, length, bytes.

From the job: `h` host it starts on, `o` output, `x` exit code. To the job: `i` input, `e` end of input, `s` a signal.
"""


def frame(kind: str, data: bytes = b"") -> bytes:
    return kind.encode() + len(data).to_bytes(4, "big") + data


class Frames:
    """Cuts received bytes into (kind, bytes)."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data: bytes) -> list:
        self.buffer += data
        frames = []
        while len(self.buffer) >= 5:
            end = 5 + int.from_bytes(self.buffer[1:5], "big")
            if len(self.buffer) < end:
                break
            frames.append((chr(self.buffer[0]), self.buffer[5:end]))
            self.buffer = self.buffer[end:]
        return frames
