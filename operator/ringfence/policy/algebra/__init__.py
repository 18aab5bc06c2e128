"""Sets of requests, exactly: intersect, subtract, is it empty, name a member. The ground on which reasoning stands."""
