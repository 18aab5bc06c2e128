"""Keys and certificates: template, sign, validate, renew. Clock and serial numbers are arguments."""
