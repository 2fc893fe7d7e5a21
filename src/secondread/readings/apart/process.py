"""A process that judges prepared images, as `judges` starts it."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection

from secondread.readings.apart.messages import Asked, Model, Refused
from secondread.terminal.end_with import end_with


def answer(given: Connection) -> None:
    """`Decisions` or `Refused` for each `Asked`, until nobody asks any more."""
    from secondread.errors import DataError, UserError
    from secondread.exporting.load import load_model

    wanted: Model = given.recv()
    try:
        model = load_model(wanted.path, wanted.device, allow=wanted.allow)
        if model.digest != wanted.digest:
            raise DataError(f"{wanted.path}: was changed since it was loaded; begin again")
        while True:
            asked: Asked = given.recv()
            given.send(model.judge(asked.pixels, asked.valid, asked.digests, maps=asked.maps))
    except (UserError, DataError) as error:
        given.send(Refused(str(error), isinstance(error, DataError)))
    except (EOFError, ConnectionError):
        pass


def main() -> None:
    parent, descriptor = map(int, sys.argv[1:])
    end_with(parent)
    os.dup2(2, 1)  # whatever a library prints is not this command's output
    with Connection(descriptor) as given:
        answer(given)


if __name__ == "__main__":
    main()
