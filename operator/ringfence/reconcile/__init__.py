"""From what is to what shall be: gather, plan, apply, status. Level-triggered: nothing here asks what has changed."""
