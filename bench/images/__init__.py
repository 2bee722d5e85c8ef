"""Images: what guests boot from, made of Debian's packages and of nothing else.

Two kinds: `squash` makes what a lab's guests share, `disk` a qcow2 for Proxmox. `recipe` and `disk_recipe` are what
goes in, as data; `files/` holds the guests' own scripts and configuration; `sources` asks apt where packages come from;
`build` runs the steps, of which `debian` and `kernel` are the same for both; `modules`, `archive`, `bootloader` and
`seed` are the pure parts of them: which kernel modules, which files, in which bytes; `cache` keeps what was built and
gives out only what is whole.
"""
