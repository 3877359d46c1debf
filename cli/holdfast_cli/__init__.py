"""Command line of holdfast: the only place that reads the environment, prints, asks and exits.

Nothing is imported here. `main` runs a command line; `registry` finds the commands, one module
each in `commands`; `output` is what people and programs see.
"""
