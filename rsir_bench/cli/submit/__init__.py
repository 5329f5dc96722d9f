"""``rsir-bench submit``: check or pack a submission."""
