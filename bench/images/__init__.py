"""Images: what a lab's guests boot from, made of Debian's packages and of nothing else.

`recipe` is what goes in, as data; `files/` holds the guest's own init scripts; `sources` asks apt where packages come
from; `build` runs the steps; `modules`, `archive` and `seed` are the pure parts of them: which kernel modules, which
files, in which bytes; `cache` keeps what was built and gives out only what is whole.
"""
