"""From what holds to what Envoy enforces."""
