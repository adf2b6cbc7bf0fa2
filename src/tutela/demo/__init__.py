"""The demonstration: a made-up photo forum that sends generated landscapes through the gate.

Everything shown is generated on the spot; nothing in it was ever on a list of anyone's.
"""
