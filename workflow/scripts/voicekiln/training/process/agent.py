"""torch's agent, which starts the worker's processes and ends the others when one fails.

Left to itself it reports each failure in 35 lines. The worker has told its reason by then, also
where it was only asked to stop; a process that could not, as one that was killed, gets a line.
"""

import logging
import os
import signal
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from voicekiln.training.log.records import EXIT_ERROR
from voicekiln.training.process.stop import EXCHANGE, OUTCOME_FILE


def run(arguments: list[str]) -> int:
    """Waits for the processes; returns 0, or EXIT_ERROR when one failed."""
    logging.disable(logging.CRITICAL)  # in this process; what breaks the agent is still raised
    try:
        main(arguments)
    except ChildFailedError as error:
        told = Path(os.environ[EXCHANGE], OUTCOME_FILE).exists()
        for number, failure in sorted(error.failures.items()):
            if failure.exitcode == -signal.SIGTERM:
                continue  # so the agent ends the others
            if failure.exitcode < 0 or not told:
                how = failure.signal_name() if failure.exitcode < 0 else failure.exitcode
                print(f"ERROR train: process {number} ended with {how}", file=sys.stderr)
        return EXIT_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
