"""torch's agent, which starts the worker's processes and ends the others when one fails.

By default it reports each failure in 35 lines. The worker has reported its reason by then, also
after a request to stop. A process that was killed could not: it gets a line here, and if no process
reported an end, the agent does.
"""

import logging
import signal
import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from voicekiln.training.log.records import EXIT_ERROR
from voicekiln.training.process.events import EventWriter, exchange, reported_end


def run(arguments: list[str]) -> int:
    """Wait for the processes; returns 0, or EXIT_ERROR if one failed."""
    logging.disable(
        logging.CRITICAL
    )  # in this process; errors of the agent itself are still raised
    deaths: list[str] = []
    try:
        main(arguments)
    except ChildFailedError as error:
        reported = reported_end(exchange()) is not None
        for number, failure in sorted(error.failures.items()):
            if failure.exitcode == -signal.SIGTERM:
                continue  # how the agent ends the others
            if failure.exitcode < 0 or not reported:
                how = failure.signal_name() if failure.exitcode < 0 else failure.exitcode
                print(f"ERROR train: process {number} ended with {how}", file=sys.stderr)
                deaths.append(death(number, failure.exitcode))
        if deaths and not reported:
            EventWriter().write("end", exit_code=EXIT_ERROR, state="failed", reason=deaths[0])
        return EXIT_ERROR
    return 0


def death(number: int, exit_code: int) -> str:
    """The reason to report for a process that ended without one."""
    how = f"ended with exit code {exit_code}"
    if exit_code < 0:
        how = f"was ended by {signal.Signals(-exit_code).name}"
    guess = ", probably for lack of memory" if exit_code == -signal.SIGKILL else ""
    return f"process {number} {how} without reporting a reason{guess}; the log may have more"


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
