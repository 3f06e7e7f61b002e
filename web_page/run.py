"""One piece of work for a visitor: its steps while it lasts, its outcome, and how it is stopped."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from temu_vtoff.tryoff.watching import OnStep


@dataclass(frozen=True)
class Step:
    """How far the work is: `share` in [0, 1], and how the picture looks by then, where that is known."""

    share: float
    text: str
    preview: Image.Image | None = None


@dataclass(eq=False)
class Run:
    """One piece of work. `stopped` asks it to end; it looks there after every step.

    Attributes:
        folder: For the files that come of it.
    """

    folder: Path
    stopped: threading.Event = field(default_factory=threading.Event)
    _news: "queue.SimpleQueue[Step | None]" = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None
    _outcome: Any = None
    _error: BaseException | None = None

    def report(self, step: Step) -> bool:
        """Passes a step on; False when the work should end."""
        self._news.put(step)
        return not self.stopped.is_set()

    def follow(self, work: Callable[[], Any]) -> Iterator[Step]:
        """Does the work in a thread and yields its steps; `result` has its outcome afterwards.

        Closing the iterator, as Gradio does when a request is cancelled, stops the work.
        """

        def target() -> None:
            try:
                self._outcome = work()
            except BaseException as error:  # raised again by `result`
                self._error = error
            finally:
                self._news.put(None)

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        self._thread = thread  # only now: `wait` may be called at any moment, and joins no thread that has not started
        try:
            yield from iter(self._news.get, None)
        except GeneratorExit:
            self.stopped.set()
            raise

    def result(self) -> Any:
        """What the work returned.

        Raises:
            BaseException: What it raised.
        """
        if self._error is not None:
            raise self._error
        return self._outcome

    def wait(self, seconds: float) -> bool:
        """Waits for the work to end; whether it has."""
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))
        return self._thread is None or not self._thread.is_alive()


@dataclass(frozen=True)
class Part:
    """Which part of some work a photo is: number `number` of `count`; `where` stands before its steps."""

    where: str = ""
    number: int = 0
    count: int = 1

    def begins(self, run: Run, what: str = "reading the photo") -> bool:
        """Tells a run's visitor that the part begins; whether it should."""
        return run.report(Step(self.number / self.count, f"{self.where}{what}"))

    def reporter(self, run: Run) -> OnStep:
        """Tells a run's visitor about the steps of the part."""

        def on_step(step: int, steps: int, preview: Image.Image | None) -> bool:
            share = (self.number + step / steps) / self.count
            return run.report(Step(share, f"{self.where}step {step} of {steps}", preview))

        return on_step
