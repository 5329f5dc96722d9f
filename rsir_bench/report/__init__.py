"""The report: a static folder of pages about records and the scenes behind them, which needs no server."""
