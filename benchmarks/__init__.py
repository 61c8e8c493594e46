"""Speed and memory, measured against the alternatives that a user would pick: `make bench`.

`plan.py` lists what is measured, `bars.py` the ratios that must hold, `processes.py` how CPU and memory are counted.
Every candidate is one small module that runs in a process of its own, some in an environment without Daylight, so
nothing may be imported here.
"""
