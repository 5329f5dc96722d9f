"""Commands with subcommands: ``methods list``, ``datasets verify``, ``protocols show`` and others."""
