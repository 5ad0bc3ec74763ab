"""The tiers in which builds are confined, from strongest to none."""
