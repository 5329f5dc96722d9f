"""Errors that the user can mend: one line that says what, where and what to do next."""


class UserError(Exception):
    """Something the user must change; the command line prints it in one line and exits with 2."""


class SceneError(UserError):
    """A dataset is missing, has other classes or scenes than its card, or holds an unreadable file."""


class RunError(Exception):
    """One run failed (NaN loss, a method that raises); the other runs go on and the command exits with 1."""
