# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A file descriptor that becomes readable when the machine's wall clock jumps.

So it does when somebody sets it, and when the machine wakes up from a suspend: the kernel cancels
a timer of CLOCK_REALTIME then, if asked to (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). A wait
on the monotonic clock, which stood still, would first wait out the rest of its time.
"""

from __future__ import annotations

import ctypes
import os
import time

_ABSOLUTE, _CANCEL_ON_SET = 1, 2
_NEVER_S = 1 << 40


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def clock_jump_fd() -> int:
    """Such a descriptor, not blocking; -1 where there is none (then one merely waits longer).

    It is read to make it unreadable again; that read fails with ECANCELED.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fd = int(libc.timerfd_create(time.CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC))
    except AttributeError:
        return -1
    timer = _Timer(_Timespec(0, 0), _Timespec(_NEVER_S, 0))
    if fd >= 0 and libc.timerfd_settime(fd, _ABSOLUTE | _CANCEL_ON_SET, ctypes.byref(timer), None):
        os.close(fd)
        return -1
    return fd
