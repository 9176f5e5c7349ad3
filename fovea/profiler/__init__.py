"""Where time goes: ops, modules, kernels of compiled programs, and ranges of one's own.

The names are those of ``torch.profiler``. Nothing is timed, and nothing costs time, unless a
profiler is on.

>>> import fovea
>>> from fovea.profiler import profile, record_function
>>> with profile(record_shapes=True) as prof:
...     with record_function("my part"):
...         y = fovea.ones(4, 3) @ fovea.ones(3, 2)
>>> [row.key for row in prof.key_averages() if row.key in ("matmul", "my part")]
['my part', 'matmul']
"""

from fovea.profiler.averages import Average, EventList
from fovea.profiler.recorder import Event, record_function
from fovea.profiler.session import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)

__all__ = [
    "Average",
    "Event",
    "EventList",
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]
