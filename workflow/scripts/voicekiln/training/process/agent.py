"""torch's agent, which starts the worker's processes and ends the others when one fails.

By default it reports each failure in 35 lines. The worker has reported its reason by then, also
after a request to stop; only a process that could not, because it was killed, gets a line here.
"""

import logging
import signal
import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from voicekiln.training.log.records import EXIT_ERROR
from voicekiln.training.process.events import exchange, first_end


def run(arguments: list[str]) -> int:
    """Wait for the processes; returns 0, or EXIT_ERROR if one failed."""
    logging.disable(
        logging.CRITICAL
    )  # in this process; errors of the agent itself are still raised
    try:
        main(arguments)
    except ChildFailedError as error:
        reported = first_end(exchange()) is not None
        for number, failure in sorted(error.failures.items()):
            if failure.exitcode == -signal.SIGTERM:
                continue  # how the agent ends the others
            if failure.exitcode < 0 or not reported:
                how = failure.signal_name() if failure.exitcode < 0 else failure.exitcode
                print(f"ERROR train: process {number} ended with {how}", file=sys.stderr)
        return EXIT_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
