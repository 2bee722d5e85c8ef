"""Hosts: the one way in. A Host runs a Command and gives an Outcome; nothing else touches a machine."""
