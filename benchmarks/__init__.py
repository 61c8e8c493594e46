"""How fast, against what a user would pick instead: `make bench`.

`plan.py` says what is measured, `bars.py` what must hold, `processes.py` how CPU and memory are counted. Every
contestant is one small file that is started as a process of its own, some in an environment without Daylight: nothing
may be imported here.
"""
