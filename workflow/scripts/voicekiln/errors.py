"""The error that a user can cause and fix."""


class UserError(Exception):
    """One line that names the file, key or segment, what was expected, and what to do.

    A job that ends with it prints the line and no traceback.
    """
