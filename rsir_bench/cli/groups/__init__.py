"""Verbs that have verbs of their own: ``methods list``, ``datasets verify``, ``protocols show`` and others."""
