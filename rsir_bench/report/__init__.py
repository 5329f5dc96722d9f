"""The report: one static folder that shows records, and the scenes behind them, in a browser without a server."""
