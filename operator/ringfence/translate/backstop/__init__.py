"""The policies of the backstop, one module for each, and the form that they share."""
