"""The one error that the commands show to people, without a traceback."""


class DevError(Exception):
    """What went wrong and what to do about it, ready to print."""
