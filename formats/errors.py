"""The one exception that a user's input can raise."""


class InputError(ValueError):
    """Input that cannot be used.

    The message is one line: it names the field, says what is wrong with it, and how to fix it. The command line
    prints it and exits with status 2. It derives from `ValueError`, so library users can catch either.
    """
