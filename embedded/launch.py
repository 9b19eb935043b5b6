"""Become another program that cannot outlive the supervisor. Standard library only; run as a script.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT...]

The kernel sends DEATH_SIGNAL when the thread that started us ends (PR_SET_PDEATHSIG), also when the supervisor
was killed with SIGKILL and could not say goodbye. Changing the user clears that wish, therefore both happen
here, in this order. UID -1 keeps the user. Exit code 126: the program could not be started.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process with the program in `arguments`; returns only by ending the process."""
    parent, death_signal, uid, gid = (int(value) for value in arguments[:4])
    program = arguments[4:]
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and what is ignored is inherited
        signal.signal(number, signal.SIG_DFL)
    try:
        if uid >= 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked to be told
            os._exit(0)
        os.execvp(program[0], program)
    except OSError as error:
        print(f"cannot start {program[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(126)


if __name__ == "__main__":
    main(sys.argv[1:])
