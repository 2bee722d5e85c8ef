"""Proxmox VE: its API, spoken by one small client; what a node has; test VMs made and removed. docs/proxmox.md."""
