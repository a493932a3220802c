"""How much a server takes on: processes, photos at once, places to wait, and bounds of a request."""

from dataclasses import dataclass

from ..pictures.samples import MOST

PLACES = 2  # batches that each replica has been given: one that it computes, and one that is being joined


@dataclass(frozen=True)
class Settings:
    """replicas: processes, each with the file loaded and `threads` of torch. batch: photos that go through the
    network together at most. queue: requests that may wait for a replica. wait: seconds that a photo waits for
    others. bytes: of a request. passes: of the network that a question may take. patience: seconds in which a
    request has come in. Raises ValueError for numbers that make no server.
    """

    replicas: int = 1
    threads: int = 1
    batch: int = 8
    queue: int = 32
    wait: float = 0.01
    bytes: int = 20_000_000
    passes: int = 600
    patience: float = 60.0

    def __post_init__(self) -> None:
        for name in ("replicas", "threads", "batch", "bytes", "passes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it is at least 1")
        if self.queue < 0:
            raise ValueError(f"queue is {self.queue}: it is at least 0")

    @property
    def ongoing(self) -> int:
        """Requests that a replica has been given."""
        return PLACES * self.batch

    @property
    def room(self) -> int:
        """Requests that are in the house at once; one more is told to come again."""
        return self.replicas * self.ongoing + self.queue

    def told(self) -> dict[str, int]:
        """What a client has to keep to."""
        return {"bytes": self.bytes, "megapixels": MOST, "passes": self.passes, "requests": self.room}
